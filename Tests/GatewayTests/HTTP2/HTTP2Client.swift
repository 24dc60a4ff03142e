import NIOCore
import NIOPosix

@testable import Gateway

/// A client of HTTP/2 in clear text that sends exactly the frames it is told to.
struct HTTP2Client {
    struct Answer {
        var fields: [String]
        var body: [UInt8]

        var status: String? { fields.first.map { String($0.dropFirst(9)) } }
        var text: String { String(decoding: body, as: UTF8.self) }

        func field(_ name: String) -> String? {
            fields.first { $0.hasPrefix(name + ": ") }.map { String($0.dropFirst(name.count + 2)) }
        }
    }

    /// The stream or the connection ended before an answer was whole.
    struct Ended: Error {}

    private let outbound: NIOAsyncChannelOutboundWriter<ByteBuffer>
    private var inbound: NIOAsyncChannelInboundStream<ByteBuffer>.AsyncIterator
    private var bytes: [UInt8] = []
    /// All frames that came, but for those of answers that were taken.
    private(set) var frames: [SentFrame] = []

    /// Connects, sends the preface and these SETTINGS, and hands the client to the closure.
    static func connect<Result>(
        port: Int, settings: [(UInt16, UInt32)] = [(1, 0)], _ body: (inout HTTP2Client) async throws -> Result
    ) async throws -> Result {
        let channel = try await ClientBootstrap(group: .singletonMultiThreadedEventLoopGroup)
            .channelOption(.allowRemoteHalfClosure, value: true)
            .connect(host: "127.0.0.1", port: port) { channel in
                channel.eventLoop.makeCompletedFuture { try NIOAsyncChannel<ByteBuffer, ByteBuffer>(wrappingChannelSynchronously: channel) }
            }
        return try await channel.executeThenClose { inbound, outbound in
            var client = HTTP2Client(outbound: outbound, inbound: inbound.makeAsyncIterator())
            // No table, so that each head can be read by itself.
            try await client.send(Frame.preface + Frame.settings(settings))
            return try await body(&client)
        }
    }

    func send(_ bytes: [UInt8]) async throws { try await outbound.write(ByteBuffer(bytes: bytes)) }

    /// - Returns: Whether there was more.
    private mutating func more() async throws -> Bool {
        guard let part = try await inbound.next() else { return false }
        bytes.append(contentsOf: part.readableBytesView)
        frames += SentFrame.take(from: &bytes)
        return true
    }

    /// Waits for a frame.
    mutating func first(_ isWanted: (SentFrame) -> Bool) async throws -> SentFrame {
        while true {
            if let frame = frames.first(where: isWanted) { return frame }
            guard try await more() else { throw Ended() }
        }
    }

    /// Waits for a stream's answer, and gives the gateway room for more of it as it comes.
    mutating func answer(on stream: UInt32) async throws -> Answer {
        var given = 0
        while true {
            let own = frames.filter { $0.stream == stream }
            if own.contains(where: \.endsStream) {
                frames.removeAll { $0.stream == stream && $0.kind < 2 }
                let heads = own.filter { $0.kind == 1 }
                return Answer(
                    fields: try heads.last.map { try HeaderBlock.fields(of: $0.payload) } ?? [],
                    body: own.filter { $0.kind == 0 }.flatMap(\.payload))
            }
            if own.contains(where: { $0.kind == 3 }) { throw Ended() }
            let taken = own.filter { $0.kind == 0 }.reduce(0) { $0 + $1.payload.count }
            if taken > given {
                try await send(Frame.windowUpdate(0, UInt32(taken - given)) + Frame.windowUpdate(stream, UInt32(taken - given)))
                given = taken
            }
            guard try await more() else { throw Ended() }
        }
    }

    /// Waits until the gateway has given room for so many bytes of a stream's body.
    mutating func waitForRoom(of stream: UInt32, sent: Int) async throws {
        func room(_ number: UInt32) -> Int {
            65_535 + frames.filter { $0.kind == 8 && $0.stream == number }.reduce(0) { $0 + Int($1.number(at: 0)) }
        }
        while room(stream) < sent || room(0) < sent {
            guard try await more() else { throw Ended() }
        }
    }

    /// Waits for the end of the connection.
    mutating func end() async throws {
        while try await more() {}
    }
}
