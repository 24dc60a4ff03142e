import Crypto

/// The keys of one process: for each pair that it is one of, the first signs and all verify, so that a key can be replaced without a gap.
public struct ContextKeys: Sendable {
    /// Whose keys they are: a service's name, or ``ContextPair/gateway``.
    public let process: String
    private let keys: [ContextKey]

    /// Reads `id:caller-callee:hex[,id:caller-callee:hex…]`. Pairs that are not among those given are of another release, and left out.
    ///
    /// - Parameter pairs: all that there are.
    /// - Throws: ``ContextKeyError`` when the text is not of that form, a key is shorter than 32 bytes or of a pair of others, or a pair of the
    ///   process has none.
    public init(_ text: String, of process: String, pairs: [ContextPair]) throws(ContextKeyError) {
        let own = pairs.filter { $0.caller == process || $0.callee == process }
        var keys: [ContextKey] = []
        for entry in text.split(separator: ",") {
            let parts = entry.split(separator: ":", omittingEmptySubsequences: false)
            guard parts.count == 3, Self.isID(parts[0]), let bytes = Hex.decode(parts[2]), bytes.count >= 32 else {
                throw ContextKeyError(expected: "id:caller-callee:hex[,…] with at least 64 hexadecimal digits a key")
            }
            let names = parts[1].split(separator: "-", omittingEmptySubsequences: false)
            guard names.count == 2, names.contains(Substring(process)) else {
                throw ContextKeyError(expected: "keys of pairs that \(process) is one of, and no others")
            }
            guard let pair = own.first(where: { $0.name == parts[1] }) else { continue }
            keys.append(ContextKey(id: String(parts[0]), pair: pair, bytes: bytes))
        }
        if let missing = own.first(where: { pair in !keys.contains { $0.pair == pair } }) {
            throw ContextKeyError(expected: "a key of each pair of \(process), also of \(missing.name)")
        }
        self.process = process
        self.keys = keys
    }

    private static func isID(_ text: Substring) -> Bool {
        (1...32).contains(text.utf8.count)
            && text.utf8.allSatisfy { byte in
                switch byte {
                case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "0")...UInt8(ascii: "9"),
                    UInt8(ascii: "."), UInt8(ascii: "_"), UInt8(ascii: "-"):
                    true
                default: false
                }
            }
    }

    /// Signs what the process sends to another; `nil` for one that it does not call.
    public func signer(for callee: String) -> ContextSigner? {
        keys.first { $0.pair.caller == process && $0.pair.callee == callee }.map { ContextSigner(key: $0) }
    }

    /// Verifies what others have signed for the process.
    public var verifier: ContextVerifier { ContextVerifier(keys: keys.filter { $0.pair.callee == process }) }

    /// Keys for another purpose, one from each that the process has with the gateway (HKDF, RFC 5869), so that no MAC made for one purpose
    /// serves another.
    func derivedKeys(for purpose: String) -> [SymmetricKey] {
        keys.filter { $0.pair.caller == ContextPair.gateway }.map {
            HKDF<SHA256>.deriveKey(inputKeyMaterial: $0.key, info: Array("martlet \(purpose)".utf8), outputByteCount: 32)
        }
    }
}

/// A key of a pair, ready to be used.
struct ContextKey: Sendable {
    let id: String
    let pair: ContextPair
    let key: SymmetricKey
    /// What a value says of its key: `<id>;<caller>`.
    let name: [UInt8]
    /// The two hashes of HMAC (RFC 2104) with the key taken in already; copies of them start each value of
    /// ``authenticationCode(_:)``, at a third of the cost of `HMAC`, which does that work anew.
    private let inner: SHA256
    private let outer: SHA256

    init(id: String, pair: ContextPair, bytes: [UInt8]) {
        self.id = id
        self.pair = pair
        key = SymmetricKey(data: bytes)
        name = Array("\(id);\(pair.caller)".utf8)
        var block = bytes.count > SHA256.blockByteCount ? Array(SHA256.hash(data: bytes)) : bytes
        block += [UInt8](repeating: 0, count: SHA256.blockByteCount - block.count)
        var inner = SHA256()
        inner.update(data: block.map { $0 ^ 0x36 })
        self.inner = inner
        var outer = SHA256()
        outer.update(data: block.map { $0 ^ 0x5C })
        self.outer = outer
    }

    /// HMAC-SHA256 (RFC 2104) over all that the closure gives to the hash.
    func authenticationCode(_ feed: (inout SHA256) -> Void) -> SHA256Digest {
        var inner = inner
        feed(&inner)
        let digest = inner.finalize()
        var outer = outer
        digest.withUnsafeBytes { outer.update(bufferPointer: $0) }
        return outer.finalize()
    }
}

/// The setting that holds the context keys is malformed, or lacks one.
public struct ContextKeyError: Error, CustomStringConvertible {
    /// What was expected; never a key.
    public let expected: String

    public var description: String { "expected \(expected)" }
}
