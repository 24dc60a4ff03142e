import Crypto
import Synchronization

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// Verifies the header `Martlet-Context` of requests to one process: see ``ContextSigner``.
public struct ContextVerifier: Sendable {
    /// Of the pairs in which the process is called.
    private let keys: [ContextKey]
    private let known = KnownMembers()

    /// How far the clocks of two processes may be apart. A value that was late by more than this when it came is a sign of clocks, as its
    /// sender gives up at the deadline; so is a process that stood still meanwhile.
    public static let clockTolerance = Duration.seconds(5)

    init(keys: [ContextKey]) { self.keys = keys }

    /// Reads a header's value. The body is yet to be held against ``VerifiedContext/body``.
    ///
    /// - Throws: ``Problem`` `unauthenticated` when it is absent, malformed, made by a caller that this process does not know or that may
    ///   not say what it says, for another process or another request; the public text is the same for all. With a right signature,
    ///   `deadline_exceeded` when the deadline has just passed, `clock_skew` when it is too long past or too far ahead.
    public func verify(
        _ value: String?, method: String, target: String, now: Timestamp = .now
    ) throws(Problem) -> VerifiedContext {
        guard var value else { throw VerifiedContext.refusal("no context") }
        guard value.utf8.count <= 4096 else { throw VerifiedContext.refusal("malformed context") }
        var (method, target) = (method, target)
        // Every request of a service comes through here: the parts are found in the bytes, once, and what is not kept becomes no text.
        return try value.withUTF8 { value in
            method.withUTF8 { method in
                target.withUTF8 { target in
                    Result { () throws(Problem) in try verify(value, method: method, target: target, now: now) }
                }
            }
        }.get()
    }

    private func verify(
        _ value: UnsafeBufferPointer<UInt8>, method: UnsafeBufferPointer<UInt8>, target: UnsafeBufferPointer<UInt8>, now: Timestamp
    ) throws(Problem) -> VerifiedContext {
        guard let parts = Parts(value) else { throw VerifiedContext.refusal("malformed context") }
        guard let key = keys.first(where: { $0.name.elementsEqual(parts.keyName) }) else {
            throw VerifiedContext.refusal("unknown context key")
        }
        let expected = key.authenticationCode { hash in
            hash.update(bufferPointer: UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(value)[..<parts.mac.startIndex]))
            hash.update(bufferPointer: UnsafeRawBufferPointer(method))
            withUnsafeBytes(of: UInt8(ascii: " ")) { hash.update(bufferPointer: $0) }
            hash.update(bufferPointer: UnsafeRawBufferPointer(target))
        }
        guard Base64URL.isEncoding(parts.mac, of: expected) else { throw VerifiedContext.refusal("wrong context signature") }
        guard let milliseconds = Int64(String(decoding: parts.deadline, as: UTF8.self)), let body = ContextBody(part: parts.body) else {
            throw VerifiedContext.refusal("malformed context")
        }
        let edge = EdgeContext(
            requestID: String(decoding: parts.requestID, as: UTF8.self), deadline: Timestamp(milliseconds: milliseconds),
            address: String(decoding: parts.address, as: UTF8.self))
        try Self.check(edge, now: now)
        if parts.claims.elementsEqual(ContextSigner.serviceClaims.utf8) {
            return VerifiedContext(caller: .service(SystemContext(service: key.pair.caller, edge: edge)), body: body)
        }
        guard key.pair.speaksForClients else { throw VerifiedContext.refusal("\(key.pair.caller) does not speak for others") }
        if parts.claims.elementsEqual(ContextSigner.anonymousClaims.utf8) { return VerifiedContext(caller: .anonymous(edge), body: body) }
        guard let member = known.member(UnsafeRawBufferPointer(UnsafeBufferPointer(rebasing: parts.claims)), edge: edge) else {
            throw VerifiedContext.refusal("malformed context claims")
        }
        return VerifiedContext(caller: .member(member), body: body)
    }

    private static func check(_ edge: EdgeContext, now: Timestamp) throws(Problem) {
        if edge.deadline <= now.advanced(by: .zero - clockTolerance)
            || edge.deadline > now.advanced(by: ContextSigner.longestLife + clockTolerance)
        {
            // Whatever the sender wrote, it is a number.
            let (apart, _) = edge.deadline.milliseconds.subtractingReportingOverflow(now.milliseconds)
            throw Problem(
                .clockSkew, "The clocks of two parts of the platform differ, so requests between them are refused.",
                context: "request \(edge.requestID): deadline in \(apart) ms")
        }
        guard edge.deadline > now else {
            throw Problem(
                .deadlineExceeded, "The request took too long.", context: "request \(edge.requestID): past its deadline when it came")
        }
    }

    /// The parts of a value, as slices of it.
    private struct Parts {
        typealias Part = Slice<UnsafeBufferPointer<UInt8>>

        var keyName: Part
        var claims: Part
        var requestID: Part
        var deadline: Part
        var address: Part
        var body: Part
        var mac: Part

        init?(_ value: UnsafeBufferPointer<UInt8>) {
            var start = 0
            func part() -> Part? {
                guard let end = value[start...].firstIndex(of: UInt8(ascii: ";")) else { return nil }
                defer { start = end + 1 }
                return value[start..<end]
            }
            guard let version = part(), version.elementsEqual("v2".utf8), let id = part(), let caller = part(), let claims = part(),
                let requestID = part(), let deadline = part(), let address = part(), let body = part(),
                // Not so where parts of a newer release follow.
                let last = value.lastIndex(of: UInt8(ascii: ";"))
            else { return nil }
            keyName = value[id.startIndex..<caller.endIndex]
            (self.claims, self.requestID, self.deadline, self.address, self.body) = (claims, requestID, deadline, address, body)
            mac = value[(last + 1)...]
        }
    }

    /// Members by their claims, which are the same for every request with one token: reading them is most of the work.
    private final class KnownMembers: Sendable {
        private static let capacity = 1000
        private let members = Mutex<[Int: Entry]>([:])

        private struct Entry {
            let claims: [UInt8]
            let member: RequestContext

            func isOf(_ other: UnsafeRawBufferPointer) -> Bool {
                claims.withUnsafeBytes { claims in
                    guard claims.count == other.count, let first = claims.baseAddress, let second = other.baseAddress else { return false }
                    return memcmp(first, second, claims.count) == 0
                }
            }
        }

        /// Only for claims whose signature was verified.
        func member(_ claims: UnsafeRawBufferPointer, edge: EdgeContext) -> RequestContext? {
            // SipHash with a seed of this process. Should two claims meet, the comparison tells them apart and the newer takes the place.
            var hasher = Hasher()
            hasher.combine(bytes: claims)
            let place = hasher.finalize()
            if let known = members.withLock({ $0[place] }), known.isOf(claims) {
                var member = known.member
                member.edge = edge
                return member
            }
            guard let member = ContextSigner.member(claims: String(decoding: claims, as: UTF8.self), edge: edge) else { return nil }
            members.withLock { members in
                if members.count >= Self.capacity { members.removeAll(keepingCapacity: true) }
                members[place] = Entry(claims: Array(claims), member: member)
            }
            return member
        }
    }
}

/// What a signed context says, once its signature is verified.
public struct VerifiedContext: Sendable, Equatable {
    public var caller: Caller
    /// Of the request that the context was made for.
    public var body: ContextBody

    /// Holds the body that came against what was signed.
    ///
    /// - Throws: ``Problem`` `unauthenticated` when it is another one, or was not there when the context was signed.
    public func check(_ bytes: [UInt8]) throws(Problem) {
        guard body == .whole(bytes) else { throw Self.refusal(body == .streamed ? "body not signed" : "not the body that was signed") }
    }

    /// Holds a body that is to come against what was signed: nobody can have signed what was not there yet.
    ///
    /// - Throws: ``Problem`` `unauthenticated` when another body was signed.
    public func checkStreamed() throws(Problem) {
        guard body == .streamed else { throw Self.refusal("not a body that is a stream") }
    }

    static func refusal(_ context: String) -> Problem {
        Problem(.unauthenticated, "The request did not come through the gateway.", context: context)
    }
}
