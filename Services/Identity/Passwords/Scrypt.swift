import COpenSSL
import Core

/// scrypt (RFC 7914) with the cost it is computed at.
public struct Scrypt: Hashable, Sendable {
    /// The binary logarithm of N.
    public var logN: Int
    public var blockSize: Int
    public var parallelization: Int

    public init(logN: Int, blockSize: Int, parallelization: Int) {
        self.logN = logN
        self.blockSize = blockSize
        self.parallelization = parallelization
    }

    /// N=2^15, r=8, p=3: 32 MiB and about a quarter of a second.
    public static let standard = Scrypt(logN: 15, blockSize: 8, parallelization: 3)

    static let saltLength = 16
    static let hashLength = 32

    /// Bytes of memory that one computation takes: 128·N·r for the large array, and 128·r·p for the blocks.
    var memory: Int { 128 * blockSize << logN + 128 * blockSize * parallelization }

    /// Derives a key. Takes as long as it takes and blocks the thread: see ``PasswordHasher``.
    ///
    /// - Throws: ``ScryptError`` when OpenSSL refuses the parameters or has no memory.
    func derive(password: [UInt8], salt: [UInt8], length: Int = hashLength) throws(ScryptError) -> [UInt8] {
        var key = [UInt8](repeating: 0, count: length)
        // The closing NUL is not hashed; it keeps the array from being empty, whose address could be NULL.
        let characters = password.map { CChar(bitPattern: $0) } + [0]
        let status = EVP_PBE_scrypt(
            characters, password.count, salt, salt.count, UInt64(1) << UInt64(logN), UInt64(blockSize), UInt64(parallelization),
            // OpenSSL counts a little more than the formula.
            UInt64(memory) + 1 << 20, &key, length)
        guard status == 1 else { throw ScryptError() }
        return key
    }
}

/// OpenSSL could not compute scrypt: the parameters are out of its range, or memory ran out.
public struct ScryptError: Error {}

/// A password's hash in PHC string form: `$scrypt$ln=15,r=8,p=3$<salt>$<hash>`, base64 without padding.
public struct PasswordHash: Hashable, Sendable, CustomStringConvertible {
    public let parameters: Scrypt
    let salt: [UInt8]
    let hash: [UInt8]

    init(parameters: Scrypt, salt: [UInt8], hash: [UInt8]) {
        self.parameters = parameters
        self.salt = salt
        self.hash = hash
    }

    public var description: String {
        "$scrypt$ln=\(parameters.logN),r=\(parameters.blockSize),p=\(parameters.parallelization)$\(PHC.encode(salt))$\(PHC.encode(hash))"
    }

    /// Reads ``description``; `nil` for another form, and for costs beyond ln=20, r=32, p=16: they could only stall us.
    public init?(_ text: some StringProtocol) {
        let parts = text.split(separator: "$", omittingEmptySubsequences: false)
        guard parts.count == 5, parts[0].isEmpty, parts[1] == "scrypt", let salt = PHC.decode(parts[3]), let hash = PHC.decode(parts[4]),
            (8...64).contains(salt.count), (16...64).contains(hash.count)
        else { return nil }
        let costs = parts[2].split(separator: ",", omittingEmptySubsequences: false)
        func cost(_ index: Int, _ name: String, _ range: ClosedRange<Int>) -> Int? {
            guard costs.count == 3, costs[index].hasPrefix("\(name)="), let value = Int(costs[index].dropFirst(name.utf8.count + 1)),
                range.contains(value)
            else { return nil }
            return value
        }
        guard let logN = cost(0, "ln", 1...20), let blockSize = cost(1, "r", 1...32), let parallelization = cost(2, "p", 1...16) else {
            return nil
        }
        self.init(parameters: Scrypt(logN: logN, blockSize: blockSize, parallelization: parallelization), salt: salt, hash: hash)
    }

    /// Compares in a time that does not depend on where the bytes differ.
    func matches(_ candidate: [UInt8]) -> Bool {
        guard candidate.count == hash.count else { return false }
        return zip(candidate, hash).reduce(into: UInt8(0)) { $0 |= $1.0 ^ $1.1 } == 0
    }
}

/// base64 in the alphabet of PHC strings: the standard one, where ours for URLs has `-` and `_`.
private enum PHC {
    static func encode(_ bytes: [UInt8]) -> String {
        String(Base64URL.encode(bytes).map { $0 == "-" ? "+" : $0 == "_" ? "/" : $0 })
    }

    static func decode(_ text: some StringProtocol) -> [UInt8]? {
        guard !text.contains("-"), !text.contains("_") else { return nil }
        return Base64URL.decode(String(text.map { $0 == "+" ? "-" : $0 == "/" ? "_" : $0 }))
    }
}
