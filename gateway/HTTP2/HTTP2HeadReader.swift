import NIOCore

/// Makes a request's head of the fields of a header block, one after another, without I/O. It is as strict as the one of HTTP/1, by the
/// same ``RequestFields``, and has the same form: lines in one buffer.
struct HTTP2HeadReader {
    enum Outcome: Equatable {
        case goOn
        /// No request as HTTP/2 has it (RFC 9113, 8.1.1): the stream ends without an answer.
        case malformed
        /// So much that the connection ends.
        case excess
    }

    /// A head that is refused with an answer is read to its end, as the fields after it refer to those in it; within these bounds.
    static let fieldsRead = 1000
    static let bytesRead = 256 * 1024

    /// The slices of the head are of these.
    private(set) var bytes = ByteBuffer()
    private(set) var expectsContinue = false
    /// Why the request is refused with an answer.
    private(set) var fault: HeadFault?
    private var fields = RequestFields()
    private var method: Range<Int>?
    private var scheme: Range<Int>?
    private var path: Range<Int>?
    private var authority: Range<Int>?
    private var hasFields = false
    /// The values of all fields `cookie`, which are one field outside HTTP/2 (RFC 9113, 8.2.3).
    private var cookie: [UInt8] = []
    private let isTrailers: Bool
    private var fieldsSeen = 0
    private var bytesSeen = 0

    /// - Parameter isTrailers: Whether the fields come after a body: such are checked, and not kept.
    init(isTrailers: Bool = false) { self.isTrailers = isTrailers }

    mutating func add(_ name: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer) -> Outcome {
        fieldsSeen += 1
        bytesSeen += name.count + value.count
        if fieldsSeen > Self.fieldsRead || bytesSeen > Self.bytesRead { return .excess }
        guard let first = name.first, value.isFieldValue(0..<value.count), value.trimmed(0..<value.count).count == value.count else {
            return .malformed
        }
        if first == UInt8(ascii: ":") { return addPseudo(name, value) }
        hasFields = true
        guard name.isToken(0..<name.count), !name.contains(where: { $0 >= UInt8(ascii: "A") && $0 <= UInt8(ascii: "Z") }),
            !Self.isOfConnection(name, value)
        else { return .malformed }
        if isTrailers { return .goOn }
        if fault == nil {
            do { try note(name, value) } catch { fault = error }
        }
        // Two answers to whom is asked are none, whatever else is wrong.
        if fault == nil, name.equals("host"), let authority, !bytes.holds(authority, value) { return .malformed }
        return .goOn
    }

    private mutating func addPseudo(_ name: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer) -> Outcome {
        guard !hasFields, !isTrailers, !value.isEmpty else { return .malformed }
        switch name.count {
        case 5 where name.equals(":path"):
            guard path == nil else { return .malformed }
            path = keep(value, orRefuseAs: .targetTooLong)
        case 7 where name.equals(":method"):
            guard method == nil, value.isToken(0..<value.count) else { return .malformed }
            method = keep(value, orRefuseAs: .headersTooLarge)
        case 7 where name.equals(":scheme"):
            guard scheme == nil else { return .malformed }
            scheme = keep(value, orRefuseAs: .headersTooLarge)
        case 10 where name.equals(":authority"):
            guard authority == nil else { return .malformed }
            authority = keep(value, orRefuseAs: .headersTooLarge)
        default: return .malformed
        }
        return .goOn
    }

    /// Fields that belong to a connection have no meaning in HTTP/2 (RFC 9113, 8.2.2).
    private static func isOfConnection(_ name: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer) -> Bool {
        switch name.count {
        case 2 where name.equals("te"): !(value.isToken(0..<value.count) && value.isName("trailers"))
        case 7: name.equals("upgrade")
        case 10: name.equals("connection") || name.equals("keep-alive")
        case 16: name.equals("proxy-connection")
        case 17: name.equals("transfer-encoding")
        default: false
        }
    }

    /// - Returns: Where the bytes are; an empty range if there was no room for them.
    private mutating func keep(_ value: UnsafeRawBufferPointer, orRefuseAs tooLong: HeadFault) -> Range<Int> {
        guard bytes.readableBytes + value.count <= HeadLimits.headBytes else {
            fault = fault ?? tooLong
            return 0..<0
        }
        // Most heads are smaller.
        if bytes.capacity == 0 { bytes.reserveCapacity(1024) }
        let start = bytes.readableBytes
        bytes.writeBytes(value)
        return start..<bytes.readableBytes
    }

    private mutating func note(_ name: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer) throws(HeadFault) {
        try fields.count()
        switch name.count {
        case 2 where name.equals("te"): return
        case 6 where name.equals("expect"):
            guard value.isToken(0..<value.count), value.isName("100-continue"), !expectsContinue else {
                throw .malformed("Only Expect: 100-continue is supported.")
            }
            expectsContinue = true
            return
        case 6 where name.equals("cookie"):
            guard bytes.readableBytes + cookie.count + value.count + 12 <= HeadLimits.headBytes else { throw .headersTooLarge }
            if !cookie.isEmpty { cookie.append(contentsOf: "; ".utf8) }
            cookie.append(contentsOf: value)
            return
        default: break
        }
        try write(name, value)
    }

    private mutating func write(_ name: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer) throws(HeadFault) {
        let start = bytes.readableBytes
        let length = name.count + value.count + 4
        guard start + cookie.count + length <= HeadLimits.headBytes else { throw .headersTooLarge }
        bytes.reserveCapacity(minimumWritableBytes: length)
        bytes.writeBytes(name)
        bytes.writeStaticString(": ")
        bytes.writeBytes(value)
        bytes.writeStaticString("\r\n")
        let line = start..<start + length
        let valueStart = start + name.count + 2
        try noteLine(line, nameCount: name.count, value: valueStart..<valueStart + value.count)
    }

    private mutating func noteLine(_ line: Range<Int>, nameCount: Int, value: Range<Int>) throws(HeadFault) {
        let bytes = bytes
        try bytes.withUnsafeReadableBytes { bytes throws(HeadFault) in
            let name = UnsafeRawBufferPointer(rebasing: bytes[line.lowerBound..<line.lowerBound + nameCount])
            try fields.note(line: line, name: name, value: value, bytes)
        }
    }

    /// The block is at its end. After `true`, ``head`` or ``fault`` is the request.
    ///
    /// - Returns: Whether it was a request as HTTP/2 has it.
    mutating func finish() -> Bool {
        guard let method else { return false }
        let isConnect = bytes.holds(method, exactly: "CONNECT")
        guard isConnect ? scheme == nil && path == nil && authority != nil : scheme != nil && path != nil else { return false }
        guard fault == nil else { return true }
        do {
            try finish(method: method)
        } catch {
            fault = error
        }
        return true
    }

    private mutating func finish(method: Range<Int>) throws(HeadFault) {
        if !cookie.isEmpty {
            let value = cookie
            cookie = []
            let line = bytes.readableBytes
            bytes.writeStaticString("cookie: ")
            bytes.writeBytes(value)
            bytes.writeStaticString("\r\n")
            try noteLine(line..<bytes.readableBytes, nameCount: 6, value: line + 8..<bytes.readableBytes - 2)
        }
        let bytes = bytes
        try bytes.withUnsafeReadableBytes { bytes throws(HeadFault) in
            // A method of HTTP/1 is at most so long, too.
            guard method.count <= 32 else { throw .malformed("The method is not known.") }
            guard let path, let scheme else { throw .malformed("The request target must be a path.") }
            let schemeName = UnsafeRawBufferPointer(rebasing: bytes[scheme])
            guard schemeName.equals("https") || schemeName.equals("http") else { throw .malformed("The scheme must be http or https.") }
            if let authority { try fields.authority(authority, bytes) }
            guard authority != nil || fields.namesHost else { throw .malformed("Host is missing.") }
            try fields.start(method: method, target: path, bytes)
            fields.finish()
        }
    }

    var head: RequestHead { fields.head }
}

extension ByteBuffer {
    /// Whether the range has the text, in any case.
    fileprivate func holds(_ range: Range<Int>, _ text: UnsafeRawBufferPointer) -> Bool {
        withUnsafeReadableBytes { bytes in
            UnsafeRawBufferPointer(rebasing: bytes[range]).isSameName(as: text)
        }
    }

    fileprivate func holds(_ range: Range<Int>, exactly text: StaticString) -> Bool {
        withUnsafeReadableBytes { UnsafeRawBufferPointer(rebasing: $0[range]).equals(text) }
    }
}
