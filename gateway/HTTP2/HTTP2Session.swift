import CNGHTTP2
import NIOCore

/// The server's side of one HTTP/2 connection, by libnghttp2, without I/O: bytes go in by ``receive(_:now:)``, what they mean comes by
/// ``nextEvent()``, answers are given to streams, and ``takeOutput(limit:)`` has the bytes to send.
///
/// libnghttp2 frames, compresses and keeps the windows. What a request may be is ``HTTP2HeadReader``'s, how much of what a client may
/// send ``HTTP2FrameMeter``'s. Nothing is called back: who uses it may do anything at any time.
final class HTTP2Session {
    enum Event {
        /// A request's head is whole: `reader` of the stream has it, or why it is refused.
        case request(HTTP2Stream)
        /// More of a body that is wanted. The client may send so much more.
        case body(HTTP2Stream, ByteBuffer, isLast: Bool)
        /// The client has taken enough of an answer that more may be written.
        case writable(HTTP2Stream)
        /// The stream is over; the last event of it.
        case closed(HTTP2Stream)
    }

    /// Streams at a time.
    static let streamLimit: UInt32 = 100
    /// What a client can leave here of bodies that nobody has asked for: so much of each, and so much in all.
    static let streamWindow: Int32 = 64 * 1024 - 1
    static let connectionWindow: Int32 = 256 * 1024
    /// Once a body is asked for: at 100 ms there and back, 10 MB a second.
    static let wideStreamWindow: Int32 = 512 * 1024
    static let wideConnectionWindow: Int32 = 1024 * 1024

    /// Why the connection is ended, once it is; what has to be sent still says so to the client.
    private(set) var fault: HTTP2Fault?
    /// Bytes of answers that wait for room, without those whose memory others hold too.
    private(set) var untakenBytes = 0
    private(set) var streams: [Int32: HTTP2Stream] = [:]

    private var handle: OpaquePointer
    private var scanner = HTTP2FrameScanner()
    private var meter = HTTP2FrameMeter()
    /// Streams taken back are counted for so many clients at once.
    var clients: Int {
        get { meter.clients }
        set { meter.clients = newValue }
    }

    /// Whether the last frame that has begun is of a head.
    private var isHeadFrame = false
    private var now = NIODeadline.uptimeNanoseconds(0)
    private var output = ByteBuffer()
    private var outputLimit = 0
    private var news = CircularBuffer<HTTP2Stream>()
    private var isWide = false
    /// The highest stream that the client has begun.
    private var lastStream: Int32 = 0
    /// Streams that ended before the client had ended them, as far as is remembered: what is on its way on these is no fault.
    private var cutShort = CircularBuffer<Int32>()
    private static let cutShortLimit = 256

    private enum Leave {
        case no
        /// The client was told to begin nothing more; it may not know yet.
        case announced
        /// The client knows, and was told which streams were the last.
        case final
    }
    private var leave = Leave.no

    init() {
        var handle: OpaquePointer?
        let result = nghttp2_session_server_new2(&handle, Self.callbacks, nil, Self.options)
        guard result == 0, let handle else { fatalError("no memory for a connection of HTTP/2") }
        self.handle = handle
        // Callbacks come only while a method of this object runs.
        nghttp2_session_set_user_data(handle, Unmanaged.passUnretained(self).toOpaque())
        let settings = [
            nghttp2_settings_entry(settings_id: Int32(NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS.rawValue), value: Self.streamLimit),
            nghttp2_settings_entry(
                settings_id: Int32(NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE.rawValue), value: UInt32(HeadLimits.headBytes)),
            // No tree of priorities is kept; the newer scheme (RFC 9218) needs none.
            nghttp2_settings_entry(settings_id: Int32(NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES.rawValue), value: 1),
        ]
        check(nghttp2_submit_settings(handle, flag(NGHTTP2_FLAG_NONE), settings, settings.count))
        check(nghttp2_session_set_local_window_size(handle, flag(NGHTTP2_FLAG_NONE), 0, Self.connectionWindow))
    }

    deinit { nghttp2_session_del(handle) }

    /// What libnghttp2 answers to calls that are right and fail for want of memory only.
    private func check(_ result: Int32) {
        if result == NGHTTP2_ERR_NOMEM.rawValue { fatalError("no memory for a connection of HTTP/2") }
    }

    // MARK: Bytes

    /// Whether there is something to send, as far as the client has room for it.
    var wantsWrite: Bool { nghttp2_session_want_write(handle) != 0 || output.readableBytes > 0 }

    /// Whether nothing is to be read or sent any more.
    var isOver: Bool { nghttp2_session_want_read(handle) == 0 && !wantsWrite }

    /// Whether a head has begun whose end has not come.
    var isInHead: Bool { isHeadFrame && (meter.isInHead || !scanner.isBetweenFrames) }

    /// Reads what the client has sent.
    func receive(_ bytes: UnsafeRawBufferPointer, now: NIODeadline) {
        self.now = now
        var rest = bytes
        while fault == nil, !rest.isEmpty {
            // Frame by frame, so that each is judged by what all before it have done.
            let used: Int
            switch scanner.next(rest) {
            case .pass(let length, let header):
                used = length
                if let header, !admit(header) { return }
                pass(UnsafeRawBufferPointer(rebasing: rest[..<length]))
            case .passHeader(let length, let header):
                used = length
                if !admit(header) { return }
                scanner.headerBytes.withUnsafeBytes { pass($0) }
            case .keep: return
            }
            rest = UnsafeRawBufferPointer(rebasing: rest[used...])
        }
    }

    private func pass(_ bytes: UnsafeRawBufferPointer) {
        let read = nghttp2_session_mem_recv(handle, bytes.baseAddress?.assumingMemoryBound(to: UInt8.self), bytes.count)
        if read < 0 { fail(fault(of: Int32(read))) }
    }

    private func admit(_ frame: HTTP2FrameHeader) -> Bool {
        if let fault = judge(frame) {
            fail(fault)
            return false
        }
        isHeadFrame = frame.kind == .headers || frame.kind == .continuation
        return true
    }

    private func judge(_ frame: HTTP2FrameHeader) -> HTTP2Fault? {
        if let excess = meter.count(frame, now: now) { return .excess(excess) }
        // libnghttp2 looks at no PRIORITY at all, since none is used.
        if frame.kind == .priority, frame.stream == 0 { return .violation(.protocolError) }
        // libnghttp2 forgets streams that are over, and passes over what comes on them.
        let isOnOldStream = frame.stream <= lastStream && frame.stream & 1 == 1 && streams[frame.stream] == nil
        if isOnOldStream, frame.kind == .data || frame.kind == .headers, !cutShort.contains(frame.stream) {
            return .violation(.streamClosed)
        }
        return nil
    }

    private var pendingFault: HTTP2Fault?

    private func fault(of result: Int32) -> HTTP2Fault {
        if let pendingFault { return pendingFault }
        switch result {
        case NGHTTP2_ERR_BAD_CLIENT_MAGIC.rawValue: return .violation(.protocolError)
        case NGHTTP2_ERR_FLOODED.rawValue: return .excess(.acknowledgements)
        default: return .violation(.internalError)
        }
    }

    private func fail(_ fault: HTTP2Fault) {
        self.fault = fault
        check(nghttp2_session_terminate_session(handle, fault.code.rawValue))
    }

    /// The bytes to send next, about `limit` at most; `nil` when there are none for now.
    func takeOutput(limit: Int, now: NIODeadline) -> ByteBuffer? {
        self.now = now
        outputLimit = limit
        while output.readableBytes < limit {
            var bytes: UnsafePointer<UInt8>?
            let length = nghttp2_session_mem_send(handle, &bytes)
            if length < 0 {
                fault = fault ?? .violation(.internalError)
                break
            }
            guard length > 0 else { break }
            output.writeBytes(UnsafeRawBufferPointer(start: bytes, count: length))
        }
        guard output.readableBytes > 0 else { return nil }
        defer { output = ByteBuffer() }
        return output
    }

    // MARK: Events

    func nextEvent() -> Event? {
        while let stream = news.first {
            if stream.isClosed {
                unlist(stream)
                // A stream that was taken back before it was looked at was never there.
                if stream.isRequestTold { return .closed(stream) }
                continue
            }
            if stream.hasHead, !stream.isRequestTold, fault == nil {
                stream.isRequestTold = true
                return .request(stream)
            }
            if stream.wantsBody, !stream.isEndTold, stream.inbound.readableBytes > 0 || stream.isEnded {
                let part = stream.inbound
                stream.inbound = ByteBuffer()
                stream.isEndTold = stream.isEnded
                consume(part.readableBytes, of: stream)
                return .body(stream, part, isLast: stream.isEnded)
            }
            if stream.awaitsWritable, stream.outbound.readableBytes <= HTTP2Stream.outboundLow {
                stream.awaitsWritable = false
                return .writable(stream)
            }
            unlist(stream)
        }
        return nil
    }

    private func list(_ stream: HTTP2Stream) {
        guard !stream.isListed else { return }
        stream.isListed = true
        news.append(stream)
    }

    private func unlist(_ stream: HTTP2Stream) {
        stream.isListed = false
        news.removeFirst()
    }

    // MARK: Bodies of requests

    /// Asks for a stream's body, from now on or again after ``pauseBody(of:)``.
    func startBody(of stream: HTTP2Stream) {
        guard !stream.isClosed else { return }
        stream.wantsBody = true
        list(stream)
        guard !stream.isEnded else { return }
        if !isWide {
            isWide = true
            check(nghttp2_session_set_local_window_size(handle, flag(NGHTTP2_FLAG_NONE), 0, Self.wideConnectionWindow))
        }
        check(nghttp2_session_set_local_window_size(handle, flag(NGHTTP2_FLAG_NONE), stream.id, Self.wideStreamWindow))
    }

    /// Tells the client that its body is awaited.
    func sendContinue(on stream: HTTP2Stream) {
        guard !stream.isClosed, !stream.isEnded else { return }
        HTTP2AnswerFields.with(status: 100, contentLength: nil, lines: .init(start: nil, count: 0)) { fields, count in
            check(Int32(nghttp2_submit_headers(handle, flag(NGHTTP2_FLAG_NONE), stream.id, nil, fields, count, nil)))
        }
    }

    func pauseBody(of stream: HTTP2Stream) { stream.wantsBody = false }

    /// Gives the client room for as many bytes more.
    private func consume(_ bytes: Int, of stream: HTTP2Stream) {
        guard bytes > 0 else { return }
        stream.unconsumed -= bytes
        check(nghttp2_session_consume(handle, stream.id, bytes))
    }

    /// What is here of the body, and what may come, is for nobody. The stream is given no more room, the connection is.
    private func dropBody(of stream: HTTP2Stream) {
        stream.dropsBody = true
        stream.inbound = ByteBuffer()
        giveBackRoom(of: stream)
    }

    private func giveBackRoom(of stream: HTTP2Stream) {
        if stream.unconsumed > 0 { check(nghttp2_session_consume_connection(handle, stream.unconsumed)) }
        stream.unconsumed = 0
    }

    // MARK: Answers

    /// Begins the answer.
    ///
    /// - Parameters:
    ///   - lines: Fields as lines `name: value` CR LF, none of which is about framing or the connection.
    ///   - isWhole: Whether no body follows.
    func answer(_ stream: HTTP2Stream, status: Int, contentLength: Int?, lines: UnsafeRawBufferPointer, isWhole: Bool) {
        guard !stream.isClosed, !stream.isAnswered else { return }
        stream.isAnswered = true
        stream.progressAt = .now()
        if isWhole { endAnswer(of: stream) }
        var source = nghttp2_data_provider()
        source.read_callback = { _, id, _, limit, flags, _, user in HTTP2Session.of(user).read(id, limit, flags) }
        HTTP2AnswerFields.with(status: status, contentLength: contentLength, lines: lines) { fields, count in
            if isWhole {
                check(nghttp2_submit_response(handle, stream.id, fields, count, nil))
            } else {
                check(nghttp2_submit_response(handle, stream.id, fields, count, &source))
            }
        }
    }

    /// Adds to the answer's body.
    ///
    /// - Parameter isShared: Whether others hold the same memory too, so that it costs nothing while it waits.
    func write(_ part: ByteBuffer, to stream: HTTP2Stream, isShared: Bool, isLast: Bool) {
        guard !stream.isClosed, stream.isAnswered, !stream.holdsLast, !stream.isAborted else { return }
        if stream.outbound.readableBytes == 0 {
            stream.outbound = part
            stream.sharesOutbound = isShared
            stream.progressAt = .now()
            if !isShared { untakenBytes += part.readableBytes }
        } else if part.readableBytes > 0 {
            // What is written to is a copy of its own from here on.
            untakenBytes += part.readableBytes + (stream.sharesOutbound ? stream.outbound.readableBytes : 0)
            stream.sharesOutbound = false
            var part = part
            stream.outbound.writeBuffer(&part)
        }
        if isLast { endAnswer(of: stream) }
        // Refused when the stream was not waiting, which is no fault.
        _ = nghttp2_session_resume_data(handle, stream.id)
    }

    private func endAnswer(of stream: HTTP2Stream) {
        stream.holdsLast = true
        dropBody(of: stream)
    }

    /// Whether more may be written; otherwise ``Event/writable(_:)`` tells when.
    func isWritable(_ stream: HTTP2Stream) -> Bool {
        if stream.outbound.readableBytes < HTTP2Stream.outboundHigh { return true }
        stream.awaitsWritable = true
        return false
    }

    /// Ends the stream at once. By ``HTTP2ErrorCode/noError`` once the answer is sent, when the client goes on with a request that nobody
    /// reads (RFC 9113, 8.1); not sooner than the client can have seen the answer, as some take that end for a failure. Until then it has
    /// the room that it had, and no more.
    func reset(_ stream: HTTP2Stream, _ code: HTTP2ErrorCode) {
        guard !stream.isClosed else { return }
        stream.isAborted = true
        dropBody(of: stream)
        dropAnswer(of: stream)
        check(nghttp2_submit_rst_stream(handle, flag(NGHTTP2_FLAG_NONE), stream.id, code.rawValue))
    }

    private func dropAnswer(of stream: HTTP2Stream) {
        if !stream.sharesOutbound { untakenBytes -= stream.outbound.readableBytes }
        stream.outbound = ByteBuffer()
        stream.sharesOutbound = false
    }

    // MARK: The end

    /// Has the client begin nothing more here. What it has begun until it knows is served in full; then ``isOver`` becomes true.
    func goAway() {
        guard leave == .no, fault == nil else { return }
        leave = .announced
        check(nghttp2_submit_shutdown_notice(handle))
    }

    /// The client knows, or has had time enough to.
    func finishGoAway() {
        guard leave == .announced else { return }
        leave = .final
        let last = nghttp2_session_get_last_proc_stream_id(handle)
        check(nghttp2_submit_goaway(handle, flag(NGHTTP2_FLAG_NONE), last, HTTP2ErrorCode.noError.rawValue, nil, 0))
    }
}

// MARK: - What libnghttp2 calls

extension HTTP2Session {
    // Safe: made once, before any session, and never changed; libnghttp2 copies them into each session that is made.
    private nonisolated(unsafe) static let callbacks: OpaquePointer? = {
        var made: OpaquePointer?
        guard nghttp2_session_callbacks_new(&made) == 0, let made else { fatalError("no memory for HTTP/2") }
        nghttp2_session_callbacks_set_on_begin_headers_callback(made) { _, frame, user in
            HTTP2Session.of(user).headBegins(frame)
        }
        nghttp2_session_callbacks_set_on_header_callback(made) { _, frame, name, nameLength, value, valueLength, _, user in
            HTTP2Session.of(user).field(
                frame, UnsafeRawBufferPointer(start: name, count: nameLength), UnsafeRawBufferPointer(start: value, count: valueLength))
        }
        nghttp2_session_callbacks_set_on_invalid_header_callback(made) { _, frame, _, _, _, _, _, user in
            HTTP2Session.of(user).refuseHead(frame)
        }
        nghttp2_session_callbacks_set_on_frame_recv_callback(made) { _, frame, user in HTTP2Session.of(user).frameCame(frame) }
        nghttp2_session_callbacks_set_on_data_chunk_recv_callback(made) { _, _, id, data, length, user in
            HTTP2Session.of(user).content(id, UnsafeRawBufferPointer(start: data, count: length))
        }
        nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(made) { _, frame, _, user in
            HTTP2Session.of(user).frameWasWrong(frame)
        }
        nghttp2_session_callbacks_set_on_stream_close_callback(made) { _, id, code, user in HTTP2Session.of(user).closed(id, code) }
        nghttp2_session_callbacks_set_on_frame_send_callback(made) { _, frame, user in HTTP2Session.of(user).frameWent(frame) }
        nghttp2_session_callbacks_set_send_data_callback(made) { _, frame, header, length, _, user in
            HTTP2Session.of(user).send(frame, header, length)
        }
        return made
    }()

    /// What is not set here has a default; those for resets and CONTINUATION, which not every 1.52 has, are wider
    /// than ``HTTP2FrameMeter`` lets anything come to.
    // Safe: as `callbacks`.
    private nonisolated(unsafe) static let options: OpaquePointer? = {
        var made: OpaquePointer?
        guard nghttp2_option_new(&made) == 0, let made else { fatalError("no memory for HTTP/2") }
        nghttp2_option_set_no_auto_window_update(made, 1)
        nghttp2_option_set_no_closed_streams(made, 1)
        nghttp2_option_set_max_settings(made, 16)
        nghttp2_option_set_max_outbound_ack(made, 200)
        // What an answer's fields may take: those of a service and the gateway's own.
        nghttp2_option_set_max_send_header_block_length(made, 128 * 1024)
        return made
    }()

    private static func of(_ user: UnsafeMutableRawPointer?) -> HTTP2Session {
        guard let user else { fatalError("the session was set as user data when it was made") }
        return Unmanaged<HTTP2Session>.fromOpaque(user).takeUnretainedValue()
    }

    private static let goOn: Int32 = 0
    private static let fatal = NGHTTP2_ERR_CALLBACK_FAILURE.rawValue
    private static let streamFails = NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE.rawValue

    private func stop(_ excess: HTTP2Excess) -> Int32 {
        pendingFault = .excess(excess)
        return Self.fatal
    }

    // MARK: Frames of the client

    private func headBegins(_ frame: UnsafePointer<nghttp2_frame>?) -> Int32 {
        guard let frame, frame.pointee.headers.cat == NGHTTP2_HCAT_REQUEST else { return Self.goOn }
        let id = frame.pointee.hd.stream_id
        lastStream = id
        streams[id] = HTTP2Stream(id: id)
        return Self.goOn
    }

    private func field(_ frame: UnsafePointer<nghttp2_frame>?, _ name: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer) -> Int32 {
        guard let frame, let stream = streams[frame.pointee.hd.stream_id] else { return Self.goOn }
        // Fields after the body are read for the sake of those to come, and dropped.
        let outcome: HTTP2HeadReader.Outcome
        if stream.hasHead {
            if stream.trailers == nil { stream.trailers = HTTP2HeadReader(isTrailers: true) }
            outcome = stream.trailers?.add(name, value) ?? .goOn
        } else {
            outcome = stream.reader.add(name, value)
        }
        switch outcome {
        case .goOn: return Self.goOn
        case .malformed: return refuseHead(frame)
        case .excess: return stop(.headFields)
        }
    }

    private func refuseHead(_ frame: UnsafePointer<nghttp2_frame>?) -> Int32 {
        guard let frame else { return Self.fatal }
        return refuse(frame.pointee.hd.stream_id)
    }

    private func refuse(_ id: Int32) -> Int32 {
        if let stream = streams[id] { dropBody(of: stream) }
        check(nghttp2_submit_rst_stream(handle, flag(NGHTTP2_FLAG_NONE), id, HTTP2ErrorCode.protocolError.rawValue))
        return Self.streamFails
    }

    private func frameCame(_ frame: UnsafePointer<nghttp2_frame>?) -> Int32 {
        guard let frame else { return Self.goOn }
        let header = frame.pointee.hd
        switch HTTP2FrameHeader.Kind(rawValue: header.type) {
        case .headers:
            guard let stream = streams[header.stream_id] else { return Self.goOn }
            if !stream.hasHead {
                // A malformed one ends like one that libnghttp2 finds so.
                guard stream.reader.finish() else {
                    _ = refuse(stream.id)
                    return Self.goOn
                }
                stream.hasHead = true
                stream.hasBody = header.flags & HTTP2FrameHeader.endStream == 0
            }
            if header.flags & HTTP2FrameHeader.endStream != 0 { stream.isEnded = true }
            list(stream)
        case .data where header.flags & HTTP2FrameHeader.endStream != 0:
            guard let stream = streams[header.stream_id] else { return Self.goOn }
            stream.isEnded = true
            list(stream)
        case .reset: streams[header.stream_id]?.isResetByClient = true
        // That to the ping which followed the announcement of leaving; no other is sent.
        case .ping where header.flags & HTTP2FrameHeader.acknowledgement != 0: finishGoAway()
        default: break
        }
        return Self.goOn
    }

    private func content(_ id: Int32, _ bytes: UnsafeRawBufferPointer) -> Int32 {
        meter.countContent(bytes.count)
        guard let stream = streams[id] else {
            check(nghttp2_session_consume(handle, id, bytes.count))
            return Self.goOn
        }
        stream.unconsumed += bytes.count
        if stream.dropsBody {
            giveBackRoom(of: stream)
        } else {
            stream.inbound.writeBytes(bytes)
            list(stream)
        }
        return Self.goOn
    }

    /// A stream that was refused before it began: what follows on it is passed over.
    private func frameWasWrong(_ frame: UnsafePointer<nghttp2_frame>?) -> Int32 {
        guard let header = frame?.pointee.hd, HTTP2FrameHeader.Kind(rawValue: header.type) == .headers, header.stream_id > lastStream else {
            return Self.goOn
        }
        lastStream = header.stream_id
        remember(header.stream_id)
        return Self.goOn
    }

    private func closed(_ id: Int32, _ code: UInt32) -> Int32 {
        guard let stream = streams.removeValue(forKey: id) else { return Self.goOn }
        if !stream.isEnded, !stream.isResetByClient { remember(id) }
        stream.isClosed = true
        stream.closeCode = HTTP2ErrorCode(code: code)
        dropAnswer(of: stream)
        stream.inbound = ByteBuffer()
        giveBackRoom(of: stream)
        list(stream)
        return Self.goOn
    }

    private func remember(_ id: Int32) {
        if cutShort.count >= Self.cutShortLimit { cutShort.removeFirst() }
        cutShort.append(id)
    }

    // MARK: Frames to the client

    /// How much of an answer goes into the next frame.
    private func read(_ id: Int32, _ limit: Int, _ flags: UnsafeMutablePointer<UInt32>?) -> Int {
        guard let stream = streams[id], let flags else { return Int(NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE.rawValue) }
        if stream.isAborted { return Int(NGHTTP2_ERR_DEFERRED.rawValue) }
        let length = min(limit, stream.outbound.readableBytes)
        let isLast = stream.holdsLast && length == stream.outbound.readableBytes
        if length == 0, !isLast { return Int(NGHTTP2_ERR_DEFERRED.rawValue) }
        flags.pointee = NGHTTP2_DATA_FLAG_NO_COPY.rawValue | (isLast ? NGHTTP2_DATA_FLAG_EOF.rawValue : 0)
        return length
    }

    private func send(_ frame: UnsafeMutablePointer<nghttp2_frame>?, _ header: UnsafePointer<UInt8>?, _ length: Int) -> Int32 {
        guard let frame, let stream = streams[frame.pointee.hd.stream_id] else { return Self.streamFails }
        if output.readableBytes >= outputLimit { return NGHTTP2_ERR_WOULDBLOCK.rawValue }
        guard var part = stream.outbound.readSlice(length: length) else { return Self.streamFails }
        output.writeBytes(UnsafeRawBufferPointer(start: header, count: HTTP2FrameHeader.bytes))
        output.writeBuffer(&part)
        if !stream.sharesOutbound { untakenBytes -= length }
        if stream.outbound.readableBytes == 0 { stream.outbound = ByteBuffer() }
        stream.progressAt = now
        meter.countSentData()
        if stream.awaitsWritable { list(stream) }
        return Self.goOn
    }

    private func frameWent(_ frame: UnsafePointer<nghttp2_frame>?) -> Int32 {
        guard let frame else { return Self.goOn }
        let header = frame.pointee.hd
        switch HTTP2FrameHeader.Kind(rawValue: header.type) {
        case .headers, .data:
            if header.flags & HTTP2FrameHeader.endStream != 0 { streams[header.stream_id]?.isAnswerSent = true }
        case .reset:
            switch HTTP2ErrorCode(code: frame.pointee.rst_stream.error_code) {
            // These are the gateway's own; all others are for what the client did.
            case .noError, .internalError, .cancel: break
            // Streams beyond the limit cost no request, and a client may open them before it has heard of the limit (RFC 9113, 6.5.2).
            case .refusedStream: break
            default:
                if let excess = meter.countFailedStream() { fail(.excess(excess)) }
            }
        case .goAway:
            let code = HTTP2ErrorCode(code: frame.pointee.goaway.error_code)
            if code != .noError, fault == nil { fault = .violation(code) }
            // The client's answer to it tells that it has read what was sent before.
            if leave == .announced { check(nghttp2_submit_ping(handle, flag(NGHTTP2_FLAG_NONE), nil)) }
        default: break
        }
        return Self.goOn
    }
}

private func flag(_ value: nghttp2_flag) -> UInt8 { UInt8(value.rawValue) }
