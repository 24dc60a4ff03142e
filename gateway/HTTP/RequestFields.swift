/// What each field of a request means to the gateway, said once for all protocols. How a message is framed and how its connection is
/// used is not among it: fields of that kind are read by the protocol that has them.
struct RequestFields {
    private(set) var head = RequestHead()
    private var fields = 0
    private var hasHost = false
    /// Where the present run of kept lines started; `nil` between runs.
    private var run: Range<Int>?

    /// Method and target; bytes of both are in the buffer.
    mutating func start(method: Range<Int>, target: Range<Int>, _ bytes: UnsafeRawBufferPointer) throws(HeadFault) {
        head.methodName = Slice(method)
        head.method = RequestHead.method(bytes[head.methodName])
        guard target.count <= HeadLimits.targetBytes else { throw .targetTooLong }
        guard !target.isEmpty, bytes[target.lowerBound] == UInt8(ascii: "/") else {
            throw .malformed("The request target must be a path.")
        }
        let question = bytes.firstIndex(of: UInt8(ascii: "?"), from: target.lowerBound, to: target.upperBound)
        head.target = Slice(target)
        head.path = Slice(target.lowerBound..<(question ?? target.upperBound))
        guard TargetRules.isPath(bytes[head.path]) else { throw .malformed("The path has a form that is not accepted.") }
        if let question, !TargetRules.isQuery(bytes, question + 1..<target.upperBound) {
            throw .malformed("The query has a character that must be percent-encoded.")
        }
    }

    /// The authority that the target names. It counts, whatever Host says.
    mutating func authority(_ value: Range<Int>, _ bytes: UnsafeRawBufferPointer) throws(HeadFault) {
        guard TargetRules.isHost(bytes, value) else { throw .malformed("The target's authority is malformed.") }
        head.host = Slice(value)
    }

    /// One more field, of any name and value.
    mutating func count() throws(HeadFault) {
        fields += 1
        guard fields <= HeadLimits.fields else { throw .headersTooLarge }
    }

    /// Notes a field: its line with the line's end, and its name and value in it.
    mutating func note(line: Range<Int>, name: UnsafeRawBufferPointer, value: Range<Int>, _ bytes: UnsafeRawBufferPointer) throws(HeadFault)
    {
        guard try goesOn(name, value, bytes) else { return }
        if let present = run, present.upperBound == line.lowerBound {
            run = present.lowerBound..<line.upperBound
        } else {
            endRun()
            run = line
        }
    }

    private mutating func endRun() {
        if let run { head.kept.append(Slice(run)) }
        run = nil
    }

    /// - Returns: Whether the line goes to the upstream as it is.
    private mutating func goesOn(_ name: UnsafeRawBufferPointer, _ value: Range<Int>, _ bytes: UnsafeRawBufferPointer) throws(HeadFault)
        -> Bool
    {
        switch name.count {
        case 4 where name.isName("host"):
            guard !hasHost else { throw .malformed("There is more than one Host.") }
            guard TargetRules.isHost(bytes, value) else { throw .malformed("Host is malformed.") }
            hasHost = true
            if head.host.isEmpty { head.host = Slice(value) }
            return false
        case 6 where name.isName("origin"):
            head.origin = Slice(value)
            return false
        case 7 where name.isName("trailer"): return false
        case 8 where name.isName("x-tenant"):
            guard head.tenant.isEmpty, !value.isEmpty else { throw .malformed("X-Tenant must occur once and not be empty.") }
            head.tenant = Slice(value)
            return false
        case 9 where name.isName("forwarded") || name.isName("x-real-ip"): return false
        case 11 where name.isName("traceparent"):
            // A second one makes both void: the value is no longer of the right length.
            head.traceparent = head.traceparent.isEmpty ? Slice(value) : Slice(start: 0, count: 1)
            return false
        case 12 where name.isName("x-request-id"):
            head.requestID = head.requestID.isEmpty ? Slice(value) : .empty
            return false
        case 13 where name.isName("authorization"):
            head.authorizations += 1
            head.authorization = Slice(value)
            return false
        case 14 where name.isName("content-length"):
            guard head.contentLength == nil else { throw .malformed("There is more than one Content-Length.") }
            guard let length = bytes.decimal(value) else { throw .malformed("Content-Length is not a decimal number.") }
            head.contentLength = length
            return false
        case 15 where name.isName("x-forwarded-for"):
            head.forwardedFor = Slice(value)
            return false
        case 15 where name.isName("accept-encoding"):
            // Codings are the gateway's: services answer in none.
            head.accepted.note(value, bytes)
            return false
        case 15 where name.isName("idempotency-key"):
            head.hasIdempotencyKey = true
            return true
        case 29 where name.isName("access-control-request-method"):
            head.requestedMethod = Slice(value)
            return false
        default: return !Self.endsHere(name)
        }
    }

    /// Fields that would let a client speak in the name of a proxy or of the gateway, or ask for another method or path than
    /// the one that was checked.
    private static func endsHere(_ name: UnsafeRawBufferPointer) -> Bool {
        switch name[0] | 0x20 {
        case UInt8(ascii: "m"): name.hasNamePrefix("martlet-")
        case UInt8(ascii: "p"): name.hasNamePrefix("proxy-")
        case UInt8(ascii: "h"): name.isName("http2-settings")
        case UInt8(ascii: "x"):
            name.hasNamePrefix("x-forwarded-") || name.hasNamePrefix("x-http-method") || name.isName("x-method-override")
                || name.isName("x-original-url") || name.isName("x-rewrite-url") || name.isName("x-user")
        default: false
        }
    }

    /// The head is complete.
    mutating func finish() { endRun() }

    /// Takes lines out of those that go on.
    ///
    /// - Parameter isDropped: Whether the line of the name is taken out.
    mutating func drop(_ bytes: UnsafeRawBufferPointer, where isDropped: (UnsafeRawBufferPointer) -> Bool) {
        let kept = head.kept
        head.kept = []
        for slice in kept {
            var start = Int(slice.start)
            while start < slice.end, let lineFeed = bytes.lineFeed(from: start) {
                let line = start..<lineFeed + 1
                let nameEnd = bytes.firstIndex(of: UInt8(ascii: ":"), from: start, to: line.upperBound) ?? start
                let name = UnsafeRawBufferPointer(rebasing: bytes[start..<nameEnd])
                if isDropped(name) {
                    if name.isName("idempotency-key") { head.hasIdempotencyKey = false }
                    endRun()
                } else {
                    run = (run?.lowerBound ?? start)..<line.upperBound
                }
                start = line.upperBound
            }
            endRun()
        }
    }

    /// Whether a Host was there.
    var namesHost: Bool { hasHost }
}
