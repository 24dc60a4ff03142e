import NIOCore
import Testing

@testable import Gateway

/// What attacks on HTTP/2 are made of (A27, A28): each ends its connection by ENHANCE_YOUR_CALM, and what a client does that has a use
/// for its connection does not.
@Suite struct HTTP2AttackTests {
    private func expectEnd(_ peer: FramePeer, _ excess: HTTP2Excess) {
        #expect(peer.session.fault == .excess(excess))
        #expect(peer.connectionError == .enhanceYourCalm)
    }

    /// CVE-2023-44487.
    @Test func streamsTakenBackAgainAndAgain() {
        var peer = FramePeer()
        for index in 0..<200 { peer.send(Frame.headers(UInt32(2 * index + 1)) + Frame.reset(UInt32(2 * index + 1))) }
        expectEnd(peer, .resets)
        // One that comes with its reset is never looked at.
        #expect(peer.requests.isEmpty)
    }

    @Test func streamsTakenBackLaterAreTold() {
        var peer = FramePeer()
        for index in 0..<200 {
            peer.send(Frame.headers(UInt32(2 * index + 1)))
            peer.send(Frame.reset(UInt32(2 * index + 1)))
        }
        expectEnd(peer, .resets)
        #expect(peer.requests.count == 101 && peer.closed.count == 100)
    }

    /// CVE-2025-8671: the server is made to take the stream back.
    @Test(arguments: [
        Frame.data(1, "ab"), Frame.windowUpdate(1, 0x7FFF_FFFF), Frame.headers(1, [("a", "b")], ends: false),
    ])
    func streamsThatFailAgainAndAgain(_ frame: [UInt8]) {
        var peer = FramePeer()
        for index in 0..<200 {
            let stream = UInt32(2 * index + 1)
            let fields = Frame.post + [("content-length", "1")]
            peer.send(Frame.headers(stream, fields, ends: false))
            peer.send(Array(frame[..<5]) + Frame.number(stream) + Array(frame[9...]))
        }
        expectEnd(peer, .failedStreams)
    }

    @Test func malformedHeadsAgainAndAgain() {
        var peer = FramePeer()
        for index in 0..<200 { peer.send(Frame.headers(UInt32(2 * index + 1), Frame.get + [("A", "b")])) }
        expectEnd(peer, .failedStreams)
    }

    /// CVE-2024-27316, CVE-2024-28182 and their kind.
    @Test func aHeadInPiecesWithoutEnd() {
        var peer = FramePeer()
        peer.send(Frame.headers(1, isWhole: false))
        for _ in 0..<20 { peer.send(Frame.continuation(1, block: Frame.block([("a", "b")]), isWhole: false)) }
        expectEnd(peer, .continuations)
        peer = FramePeer()
        peer.send(Frame.headers(1, isWhole: false))
        for _ in 0..<20 { peer.send(Frame.continuation(1, block: [], isWhole: false)) }
        expectEnd(peer, .continuations)
    }

    @Test func aHeadOfTooManyBytes() {
        var peer = FramePeer()
        peer.send(Frame.headers(1, isWhole: false))
        for index in 0..<4 {
            peer.send(Frame.continuation(1, block: Frame.block([("a\(index)", String(repeating: "b", count: 16_000))]), isWhole: false))
        }
        expectEnd(peer, .headBlock)
    }

    /// One field of 4 KB that is remembered, and then a byte for each time that it is meant.
    @Test func aHeadThatUnfoldsToMuch() {
        var peer = FramePeer()
        let block =
            Frame.block(Frame.get) + Frame.remembered("a", String(repeating: "b", count: 3900)) + [UInt8](repeating: 0xBE, count: 10_000)
        peer.send(Frame.headers(1, block: block))
        expectEnd(peer, .headFields)
        #expect(peer.requests.isEmpty)
    }

    @Test func aHeadOfTinyFields() {
        var peer = FramePeer()
        // Index 2 is ":method: GET"; 19 is "accept-encoding".
        peer.send(Frame.headers(1, block: Frame.block(Frame.get) + [UInt8](repeating: 0x93, count: 15_000)))
        expectEnd(peer, .headFields)
    }

    @Test func settingsAgainAndAgain() {
        var peer = FramePeer()
        for _ in 0..<50 { peer.send(Frame.settings([(4, 65_535)])) }
        expectEnd(peer, .settings)
    }

    /// CVE-2019-9512, and what CVE-2019-9515 is: answers that the client does not take.
    @Test func pingsAgainAndAgain() {
        var peer = FramePeer()
        let session = peer.session
        for _ in 0..<200 { Frame.ping().withUnsafeBytes { session.receive($0, now: .uptimeNanoseconds(1)) } }
        peer.flush()
        expectEnd(peer, .pings)
    }

    @Test func prioritiesAgainAndAgain() {
        var peer = FramePeer()
        for index in 0..<2000 { peer.send(Frame.priority(UInt32(2 * index + 1))) }
        expectEnd(peer, .priorities)
    }

    @Test func windowUpdatesAgainAndAgain() {
        var peer = FramePeer()
        for _ in 0..<2000 { peer.send(Frame.windowUpdate(0, 1)) }
        expectEnd(peer, .windowUpdates)
    }

    @Test func framesOfKindsThatNobodyKnows() {
        var peer = FramePeer()
        for _ in 0..<200 { peer.send(Frame.raw(0xA, stream: 0)) }
        expectEnd(peer, .unknownFrames)
    }

    /// CVE-2019-9518: frames without content, and such that are nothing but padding.
    @Test(arguments: [Frame.data(1), Frame.padded(1, "", padding: 255, zeros: 255), Frame.data(1, "a")])
    func dataWithNextToNothingInIt(_ frame: [UInt8]) {
        var peer = FramePeer()
        peer.send(Frame.headers(1, Frame.post, ends: false))
        for _ in 0..<1200 { peer.send(frame) }
        expectEnd(peer, .emptyData)
    }

    @Test func aStreamThatIsFedOnAndOnTakesNoMemory() {
        var peer = FramePeer()
        peer.send(Frame.headers(1, Frame.post, ends: false))
        peer.answer(peer.requests[0], body: [1])
        peer.flush()
        // The answer is whole; the client goes on all the same.
        for _ in 0..<600 { peer.send(Frame.data(1, [UInt8](repeating: 1, count: 1000))) }
        #expect(peer.session.streams.isEmpty && peer.session.fault == nil)
    }

    /// What a busy client does in ten seconds, and again in the next.
    @Test func aBusyClientIsLeftAlone() {
        var peer = FramePeer(answers: true)
        var stream: UInt32 = 1
        for second in 0..<12 {
            peer.now = .uptimeNanoseconds(UInt64(second + 1) * 1_000_000_000)
            for _ in 0..<100 {
                peer.send(Frame.priority(stream) + Frame.headers(stream, Frame.post, ends: false))
                peer.send(Frame.data(stream, [UInt8](repeating: 1, count: 100), ends: true) + Frame.windowUpdate(0, 100))
                stream += 2
            }
            for _ in 0..<8 {
                peer.send(Frame.headers(stream, Frame.post, ends: false))
                peer.send(Frame.reset(stream))
                stream += 2
            }
            peer.send(Frame.ping())
        }
        #expect(peer.session.fault == nil && peer.requests.count == 12 * 108)
    }

    @Test func countsStartAnew() {
        var peer = FramePeer()
        for second in 0..<10 {
            peer.now = .uptimeNanoseconds(UInt64(second + 1) * 11_000_000_000)
            for _ in 0..<90 { peer.send(Frame.ping()) }
        }
        #expect(peer.session.fault == nil)
    }
}
