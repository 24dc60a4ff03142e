/// What HTTP/1 says beside the request itself: how the message is framed and how its connection is used (RFC 9112).
struct HTTP1Framing {
    var isHTTP11 = true
    /// Whether the client lets the connection stay open.
    var keepsAlive = true
    var isChunked = false
    var expectsContinue = false
    /// Bytes of the head with its empty line.
    var length = 0
}

/// Reads a request's head from bytes that grow, strictly (RFC 9112 without its leniencies), without I/O. Each line is looked at once.
///
/// Call ``parse(_:)`` with all bytes from the head's first one each time more have come, until it returns `true`; the head is in
/// ``head`` and ``framing`` then. Make a new parser for the next head.
struct RequestHeadParser {
    private(set) var framing = HTTP1Framing()
    private var fields = RequestFields()
    private var lineStart = 0
    private var scanned = 0
    private var hasTransferEncoding = false
    /// Field names listed in Connection beside `close` and `keep-alive`: these fields end here (RFC 9110, 7.6.1).
    private var nominated: [Slice] = []

    /// More names than anybody has reason to list in Connection: each is looked for in each line.
    private static let nominatedLimit = 16

    var head: RequestHead { fields.head }

    /// Whether any byte of a line was seen.
    var hasStarted: Bool { scanned > 0 }

    /// - Returns: Whether the head is complete.
    mutating func parse(_ bytes: UnsafeRawBufferPointer) throws(HeadFault) -> Bool {
        while let lineFeed = bytes.lineFeed(from: scanned) {
            guard lineFeed > lineStart, bytes[lineFeed - 1] == 0x0D else { throw .malformed("A line must end with CR LF.") }
            let line = lineStart..<lineFeed - 1
            scanned = lineFeed + 1
            guard scanned <= HeadLimits.headBytes else { throw lineStart == 0 ? .targetTooLong : .headersTooLarge }
            if lineStart == 0 {
                try requestLine(line, bytes)
            } else if line.isEmpty {
                framing.length = scanned
                try finish(bytes)
                return true
            } else {
                try field(line, bytes)
            }
            lineStart = scanned
        }
        scanned = bytes.count
        if lineStart == 0, bytes.count > HeadLimits.targetBytes + 64 { throw .targetTooLong }
        if bytes.count > HeadLimits.headBytes { throw .headersTooLarge }
        return false
    }

    private mutating func requestLine(_ line: Range<Int>, _ bytes: UnsafeRawBufferPointer) throws(HeadFault) {
        guard let methodEnd = bytes.firstIndex(of: 0x20, from: line.lowerBound, to: line.upperBound),
            methodEnd <= 32, bytes.isToken(line.lowerBound..<methodEnd),
            let targetEnd = bytes.firstIndex(of: 0x20, from: methodEnd + 1, to: line.upperBound)
        else { throw .malformed("The request line is malformed.") }
        let version = UnsafeRawBufferPointer(rebasing: bytes[targetEnd + 1..<line.upperBound])
        if version.equals("HTTP/1.0") {
            framing.isHTTP11 = false
            framing.keepsAlive = false
        } else if !version.equals("HTTP/1.1") {
            throw .malformed("The HTTP version must be 1.1 or 1.0.")
        }
        var target = methodEnd + 1..<targetEnd
        if let authority = Self.authority(of: target, bytes) {
            try fields.authority(authority, bytes)
            target = authority.upperBound..<target.upperBound
        }
        try fields.start(method: line.lowerBound..<methodEnd, target: target, bytes)
    }

    /// The authority of a target in absolute form, which a server must accept (RFC 9112, 3.2.2).
    private static func authority(of target: Range<Int>, _ bytes: UnsafeRawBufferPointer) -> Range<Int>? {
        let text = UnsafeRawBufferPointer(rebasing: bytes[target])
        guard text.count > 8, text[0] | 0x20 == UInt8(ascii: "h") else { return nil }
        let scheme = text.hasSchemePrefix("http://") ? 7 : text.hasSchemePrefix("https://") ? 8 : 0
        guard scheme > 0 else { return nil }
        let start = target.lowerBound + scheme
        let end = bytes.firstIndex(of: UInt8(ascii: "/"), from: start, to: target.upperBound) ?? target.upperBound
        return start..<end
    }

    private mutating func field(_ line: Range<Int>, _ bytes: UnsafeRawBufferPointer) throws(HeadFault) {
        try fields.count()
        guard let colon = bytes.firstIndex(of: UInt8(ascii: ":"), from: line.lowerBound, to: line.upperBound),
            bytes.isToken(line.lowerBound..<colon)
        else { throw .malformed("A header field's name is malformed.") }
        let value = bytes.trimmed(colon + 1..<line.upperBound)
        guard bytes.isFieldValue(value) else { throw .malformed("A header field's value has a control character.") }
        let name = UnsafeRawBufferPointer(rebasing: bytes[line.lowerBound..<colon])
        if try isOfConnection(name, value, bytes) { return }
        try fields.note(line: line.lowerBound..<line.upperBound + 2, name: name, value: value, bytes)
    }

    /// Reads a field that is about the connection or the message's framing. None of them goes on.
    private mutating func isOfConnection(_ name: UnsafeRawBufferPointer, _ value: Range<Int>, _ bytes: UnsafeRawBufferPointer)
        throws(HeadFault) -> Bool
    {
        switch name.count {
        case 2: return name.isName("te")
        case 6 where name.isName("expect"):
            guard UnsafeRawBufferPointer(rebasing: bytes[value]).isName("100-continue"), !framing.expectsContinue else {
                throw .malformed("Only Expect: 100-continue is supported.")
            }
            framing.expectsContinue = true
            return true
        case 7: return name.isName("upgrade")
        case 10 where name.isName("connection"):
            try connection(value, bytes)
            return true
        case 10: return name.isName("keep-alive")
        case 17 where name.isName("transfer-encoding"):
            guard !hasTransferEncoding, UnsafeRawBufferPointer(rebasing: bytes[value]).isName("chunked") else {
                throw .malformed("The only transfer coding accepted is chunked, once.")
            }
            hasTransferEncoding = true
            framing.isChunked = true
            return true
        default: return false
        }
    }

    private mutating func connection(_ value: Range<Int>, _ bytes: UnsafeRawBufferPointer) throws(HeadFault) {
        bytes.forEachElement(in: value) { element in
            let option = UnsafeRawBufferPointer(rebasing: bytes[element])
            if option.isName("close") {
                framing.keepsAlive = false
            } else if option.isName("keep-alive") {
                if !framing.isHTTP11 { framing.keepsAlive = true }
            } else if nominated.count <= Self.nominatedLimit {
                nominated.append(Slice(element))
            }
        }
        if nominated.count > Self.nominatedLimit { throw .malformed("Connection names too many fields.") }
    }

    private mutating func finish(_ bytes: UnsafeRawBufferPointer) throws(HeadFault) {
        fields.finish()
        if !nominated.isEmpty {
            // What Connection names ends here, so it makes no retry safe either.
            let nominated = nominated
            fields.drop(bytes) { name in nominated.contains { bytes[$0].isSameName(as: name) } }
        }
        if framing.isHTTP11, !fields.namesHost { throw .malformed("Host is missing.") }
        if framing.isChunked {
            if head.contentLength != nil { throw .malformed("Content-Length and Transfer-Encoding exclude each other.") }
            if !framing.isHTTP11 { throw .malformed("HTTP/1.0 has no transfer codings.") }
        }
        // A client of HTTP/1.0 would not know the interim answer (RFC 9110, 10.1.1).
        if !framing.isHTTP11 { framing.expectsContinue = false }
    }

    /// How the body is framed.
    var body: BodyScanner { framing.isChunked ? .chunked : .length(head.contentLength ?? 0) }
}
