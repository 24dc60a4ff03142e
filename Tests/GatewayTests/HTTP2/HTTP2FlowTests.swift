import NIOCore
import Testing

@testable import Gateway

/// Windows, answers and the end of a connection, without sockets.
@Suite struct HTTP2FlowTests {
    private static let window = 65_535

    // MARK: Answers

    @Test func anAnswerWaitsForRoomAndGoesOn() throws {
        var peer = FramePeer()
        peer.send(Frame.headers(1))
        let body = (0..<200_000).map { UInt8(truncatingIfNeeded: $0) }
        peer.answer(peer.requests[0], body: body)
        peer.flush()
        #expect(peer.content(of: 1).count == Self.window && peer.session.untakenBytes == 200_000 - Self.window)
        peer.send(Frame.windowUpdate(1, 1_000_000))
        #expect(peer.content(of: 1).count == Self.window)
        peer.send(Frame.windowUpdate(0, 1_000_000))
        #expect(peer.content(of: 1) == body && peer.session.untakenBytes == 0)
        #expect(peer.frames.last?.endsStream == true && peer.closed == [1])
    }

    @Test func aSettingThatShrinksTheWindowBelowNothingIsKept() {
        var peer = FramePeer()
        peer.send(Frame.headers(1))
        peer.answer(peer.requests[0], body: [UInt8](repeating: 1, count: 100_000))
        peer.flush()
        // The window is 1000 minus what was sent: below nothing.
        peer.send(Frame.settings([(4, 1000)]) + Frame.windowUpdate(0, 1_000_000) + Frame.windowUpdate(1, 64_535))
        #expect(peer.content(of: 1).count == Self.window)
        peer.send(Frame.windowUpdate(1, 10))
        #expect(peer.content(of: 1).count == Self.window + 10)
    }

    @Test func oneStreamWithoutRoomHoldsUpNoOther() {
        var peer = FramePeer()
        peer.send(Frame.settings([(4, 10)]) + Frame.headers(1) + Frame.headers(3))
        peer.answer(peer.requests[0], body: [UInt8](repeating: 1, count: 1000))
        peer.answer(peer.requests[1], body: [UInt8](repeating: 2, count: 10))
        peer.flush()
        #expect(peer.content(of: 1).count == 10 && peer.content(of: 3).count == 10 && peer.closed == [])
        peer.proceed()
        #expect(peer.closed == [3])
    }

    @Test func whoeverWritesMuchIsToldWhenMoreMayBeWritten() {
        var peer = FramePeer()
        peer.send(Frame.headers(1))
        let stream = peer.requests[0]
        peer.session.answer(stream, status: 200, contentLength: nil, lines: .init(start: nil, count: 0), isWhole: false)
        peer.session.write(ByteBuffer(repeating: 1, count: 200_000), to: stream, isShared: false, isLast: false)
        #expect(!peer.session.isWritable(stream))
        peer.proceed()
        #expect(peer.writable == [])
        peer.send(Frame.windowUpdate(0, 1_000_000) + Frame.windowUpdate(1, 1_000_000))
        peer.proceed()
        #expect(peer.writable == [1] && peer.session.isWritable(stream))
        peer.session.write(ByteBuffer(repeating: 2, count: 10), to: stream, isShared: false, isLast: true)
        peer.flush()
        #expect(peer.content(of: 1).suffix(10) == [UInt8](repeating: 2, count: 10)[...] && peer.frames.last?.endsStream == true)
    }

    @Test func nothingIsTakenBeyondWhatIsAskedFor() throws {
        var peer = FramePeer()
        peer.send(Frame.windowUpdate(0, 1_000_000) + Frame.settings([(4, 1_000_000)]) + Frame.headers(1))
        peer.answer(peer.requests[0], body: [UInt8](repeating: 1, count: 500_000))
        var rest = 500_000
        while let part = peer.session.takeOutput(limit: 20_000, now: peer.now) {
            // One frame may begin below the limit and end above.
            #expect(part.readableBytes < 20_000 + 16_384 + 9 + 200)
            rest -= part.readableBytes
        }
        #expect(rest < 0)
    }

    @Test func sharedMemoryIsNotCountedAsHeld() {
        var peer = FramePeer()
        peer.send(Frame.headers(1))
        let stream = peer.requests[0]
        peer.session.answer(stream, status: 200, contentLength: 100_000, lines: .init(start: nil, count: 0), isWhole: false)
        peer.session.write(ByteBuffer(repeating: 1, count: 100_000), to: stream, isShared: true, isLast: true)
        #expect(peer.session.untakenBytes == 0)
        peer.flush()
        #expect(peer.content(of: 1).count == Self.window)
        peer.send(Frame.reset(1))
        #expect(peer.session.untakenBytes == 0 && peer.closed == [1])
    }

    /// An answer that cannot be completed must not look whole.
    @Test func anAbortedAnswerEndsByAnError() {
        var peer = FramePeer()
        peer.send(Frame.headers(1))
        let stream = peer.requests[0]
        peer.session.answer(stream, status: 200, contentLength: nil, lines: .init(start: nil, count: 0), isWhole: false)
        peer.session.write(ByteBuffer(string: "half"), to: stream, isShared: false, isLast: false)
        peer.flush()
        peer.session.write(ByteBuffer(string: "more"), to: stream, isShared: false, isLast: false)
        peer.session.reset(stream, .internalError)
        peer.session.write(ByteBuffer(string: "end"), to: stream, isShared: false, isLast: true)
        peer.proceed()
        #expect(peer.error(of: 1) == .internalError && !peer.frames.contains { $0.endsStream } && peer.session.untakenBytes == 0)
    }

    @Test func fieldsOfAnswersAreLowerCaseAndWhole() throws {
        var peer = FramePeer()
        peer.send(Frame.headers(1))
        peer.answer(peer.requests[0], body: [1], lines: "Content-Type: text/plain\r\nX-Request-Id:abc\r\nETag: \"a: b\" \r\n")
        peer.flush()
        let head = try #require(peer.frames.first { $0.kind == 1 })
        let fields = try HeaderBlock.fields(of: head.payload)
        #expect(
            fields == [
                ":status: 200", "content-length: 1", "content-type: text/plain", "x-request-id: abc", "etag: \"a: b\"",
            ])
    }

    @Test func anInterimAnswerComesBeforeTheBody() throws {
        var peer = FramePeer()
        peer.send(Frame.headers(1, Frame.post + [("expect", "100-continue")], ends: false))
        #expect(peer.requests[0].reader.expectsContinue)
        peer.session.sendContinue(on: peer.requests[0])
        peer.flush()
        peer.send(Frame.data(1, "ab", ends: true))
        peer.answer(peer.requests[0])
        peer.flush()
        let heads = peer.frames.filter { $0.kind == 1 }
        #expect(try heads.map { try HeaderBlock.fields(of: $0.payload)[0] } == [":status: 100", ":status: 200"])
        #expect(heads.map(\.endsStream) == [false, true] && peer.bodies[1] == Array("ab".utf8))
    }

    // MARK: Bodies

    @Test func aBodyIsGivenRoomAsItIsTaken() {
        var peer = FramePeer()
        peer.send(Frame.headers(1, Frame.post, ends: false))
        var room = Self.window
        for _ in 0..<100 {
            let part = min(16_384, room)
            peer.send(Frame.data(1, [UInt8](repeating: 7, count: part)))
            room =
                Self.window + peer.frames.filter { $0.kind == 8 && $0.stream == 1 }.reduce(0) { $0 + Int($1.number(at: 0)) }
                - peer.bodies[1, default: []].count
            #expect(room >= 16_384)
        }
        peer.send(Frame.data(1, ends: true))
        #expect(peer.bodies[1]?.count == 1_638_400 && peer.ended == [1] && peer.connectionError == nil)
    }

    @Test func aBodyThatNobodyWantsHasOnlyItsFirstRoom() {
        var peer = FramePeer()
        peer.send(Frame.headers(1, Frame.post, ends: false))
        peer.session.pauseBody(of: peer.requests[0])
        // So much was promised when the body was asked for.
        let wide = Int(HTTP2Session.wideStreamWindow)
        for _ in 0..<wide / 16_384 { peer.send(Frame.data(1, [UInt8](repeating: 7, count: 16_384))) }
        #expect(peer.error(of: 1) == nil && peer.bodies[1] == nil)
        peer.send(Frame.data(1, [1]))
        #expect(peer.error(of: 1) == .flowControlError)
        // What lies there is for nobody, and counts for the connection no more.
        #expect(peer.session.streams.isEmpty && peer.connectionError == nil)
    }

    @Test func whatIsHereBeforeABodyIsAskedForIsLittle() {
        let session = HTTP2Session()
        var frames = Frame.preface + Frame.settings()
        for stream in 0..<5 {
            frames += Frame.headers(UInt32(2 * stream + 1), Frame.post, ends: false)
            for _ in 0..<3 { frames += Frame.data(UInt32(2 * stream + 1), [UInt8](repeating: 1, count: 16_384)) }
        }
        frames += Frame.data(1, [UInt8](repeating: 1, count: 16_383)) + Frame.data(3, [1])
        frames.withUnsafeBytes { session.receive($0, now: .uptimeNanoseconds(1)) }
        while session.takeOutput(limit: 10_000, now: .uptimeNanoseconds(1)) != nil {}
        #expect(session.fault == nil)
        let more = Frame.data(5, [UInt8](repeating: 1, count: 16_000))
        more.withUnsafeBytes { session.receive($0, now: .uptimeNanoseconds(1)) }
        while session.takeOutput(limit: 10_000, now: .uptimeNanoseconds(1)) != nil {}
        #expect(session.fault == .violation(.flowControlError))
    }

    /// Goal: streams that end early must not use up the connection's room. Method: more than the room, in streams that are dropped.
    @Test func endedStreamsGiveTheConnectionsRoomBack() {
        var peer = FramePeer()
        for index in 0..<60 {
            let stream = UInt32(2 * index + 1)
            peer.send(Frame.headers(stream, Frame.post, ends: false))
            peer.session.pauseBody(of: peer.requests[index])
            peer.send(Frame.data(stream, [UInt8](repeating: 1, count: 16_384)) + Frame.data(stream, [UInt8](repeating: 1, count: 16_384)))
            switch index % 3 {
            case 0: peer.send(Frame.reset(stream))
            case 1: peer.answer(peer.requests[index])
            default: peer.session.reset(peer.requests[index], .cancel)
            }
            // What is on its way still.
            peer.flush()
            if index % 3 > 0 { peer.send(Frame.data(stream, [UInt8](repeating: 1, count: 1000), ends: true)) }
        }
        #expect(peer.connectionError == nil && peer.session.streams.isEmpty)
        let given = peer.frames.filter { $0.kind == 8 && $0.stream == 0 }.reduce(0) { $0 + Int($1.number(at: 0)) }
        #expect(given >= 60 * 32_768)
    }

    @Test func paddingGivesItsRoomBack() {
        var peer = FramePeer()
        peer.send(Frame.headers(1, Frame.post, ends: false))
        for _ in 0..<900 { peer.send(Frame.padded(1, String(repeating: "a", count: 200), padding: 255, zeros: 255)) }
        peer.send(Frame.data(1, ends: true))
        #expect(peer.bodies[1]?.count == 180_000 && peer.ended == [1] && peer.connectionError == nil)
    }

    /// A client that sends its small body behind the head gets the answer to the head without an error.
    @Test func aRequestMayEndAfterItsAnswer() {
        var peer = FramePeer()
        peer.send(Frame.headers(1, Frame.post, ends: false))
        peer.session.pauseBody(of: peer.requests[0])
        peer.answer(peer.requests[0])
        peer.proceed()
        #expect(peer.frames.first { $0.kind == 1 }?.endsStream == true)
        peer.send(Frame.data(1, "body", ends: true))
        #expect(peer.error(of: 1) == nil && peer.closed == [1] && peer.bodies[1] == nil)
    }

    @Test func aRequestThatDoesNotEndAfterItsAnswerGetsNoMoreRoom() {
        var peer = FramePeer()
        peer.send(Frame.headers(1, Frame.post, ends: false))
        peer.answer(peer.requests[0])
        peer.proceed()
        let room = Int(HTTP2Session.wideStreamWindow)
        for _ in 0..<room / 16_384 { peer.send(Frame.data(1, [UInt8](repeating: 1, count: 16_384))) }
        #expect(peer.error(of: 1) == nil && peer.requests[0].isAnswerSent)
        let given = peer.frames.filter { $0.kind == 8 && $0.stream == 1 }.reduce(0) { $0 + Int($1.number(at: 0)) }
        #expect(given == room - Self.window)
        peer.session.reset(peer.requests[0], .noError)
        peer.proceed()
        #expect(peer.error(of: 1) == .noError && peer.closed == [1])
        peer.send(Frame.data(1, "rest") + Frame.headers(3))
        #expect(peer.connectionError == nil && peer.requests.count == 2)
    }

    @Test func manySmallPartsAreHandedOnTogether() {
        let session = HTTP2Session()
        let parts = (0..<500).flatMap { _ in Frame.data(1, "a") }
        let frames = Frame.preface + Frame.settings() + Frame.headers(1, Frame.post, ends: false) + parts
        frames.withUnsafeBytes { session.receive($0, now: .uptimeNanoseconds(1)) }
        guard case .request(let stream) = session.nextEvent() else {
            Issue.record("no request")
            return
        }
        session.startBody(of: stream)
        guard case .body(_, let part, isLast: false) = session.nextEvent() else {
            Issue.record("no body")
            return
        }
        #expect(part.readableBytes == 500 && session.nextEvent() == nil)
    }

    // MARK: The end

    /// Goal: a connection that ends loses no request. Method: requests before, between and after the two steps of GOAWAY.
    @Test func leavingServesWhatTheClientBeganBeforeItKnew() throws {
        var peer = FramePeer()
        peer.send(Frame.headers(1))
        peer.session.goAway()
        peer.flush()
        #expect(peer.frames.filter { $0.kind == 7 }.map { $0.number(at: 0) } == [0x7FFF_FFFF])
        let ping = try #require(peer.frames.last { $0.kind == 6 })
        // It was on its way.
        peer.send(Frame.headers(3))
        #expect(peer.requests.map(\.id) == [1, 3])
        peer.send(Frame.raw(6, flags: 1, stream: 0, ping.payload))
        #expect(peer.frames.filter { $0.kind == 7 }.map { $0.number(at: 0) } == [0x7FFF_FFFF, 3])
        peer.send(Frame.headers(5))
        #expect(peer.requests.count == 2 && !peer.session.isOver)
        for stream in peer.requests { peer.answer(stream, body: [1, 2, 3]) }
        peer.proceed()
        #expect(peer.content(of: 1) == [1, 2, 3] && peer.content(of: 3) == [1, 2, 3] && peer.session.isOver && peer.session.fault == nil)
    }

    @Test func anIdleConnectionIsOverAtOnce() {
        var peer = FramePeer()
        peer.session.goAway()
        peer.session.finishGoAway()
        peer.flush()
        #expect(peer.session.isOver)
    }

    @Test func aClientThatLeavesGetsItsAnswers() {
        var peer = FramePeer()
        peer.send(Frame.headers(1) + Frame.goAway())
        #expect(!peer.session.isOver)
        peer.answer(peer.requests[0], body: [1])
        peer.proceed()
        #expect(peer.content(of: 1) == [1] && peer.session.isOver)
    }
}
