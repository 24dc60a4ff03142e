import Contracts
import Core
import NIOCore
import NIOPosix
import Operations
import Synchronization
import TestSupport

/// A service that does what a test tells it, on a real socket.
final class TestUpstream: Sendable {
    struct Request: Sendable {
        var method: String
        var target: String
        var head: String
        var body: [UInt8]
        /// How many requests came on this connection before.
        var number: Int

        func header(_ name: String) -> String? {
            for line in head.split(separator: "\r\n").dropFirst() {
                let halves = line.split(separator: ":", maxSplits: 1)
                if halves.count == 2, halves[0].lowercased() == name.lowercased() {
                    return String(halves[1].drop { $0 == " " })
                }
            }
            return nil
        }

        /// The caller, once the context holds that the gateway has signed: for the service, for this request and this body.
        func caller(to service: ServiceName = .crm) throws -> Caller {
            let keys = TestContextKeys.keys(of: service.rawValue)
            let context = try keys.verifier.verify(header("martlet-context"), method: method, target: target)
            try context.check(body)
            return context.caller
        }
    }

    enum Action: Sendable {
        /// These bytes as they are.
        case write(String)
        /// These bytes, and then the end of the connection.
        case writeAndClose(String)
        /// These bytes one at a time.
        case drip(String)
        /// The end of the connection without a byte.
        case close
        case nothing
        /// An answer when the test says so, by ``TestUpstream/answerHeld(_:)``.
        case hold

        static func ok(_ body: String = "{}", headers: String = "") -> Action {
            .write("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\(headers)Content-Length: \(body.utf8.count)\r\n\r\n\(body)")
        }
    }

    struct State: Sendable {
        var requests: [Request] = []
        var revocations: [Revocation] = []
        var keys: [JSON] = []
        /// Blanks behind the state, which mean nothing but have to be read.
        var padding = 0
        var keyFetches = 0
        /// Security events to refuse before one is taken.
        var eventRefusals = 0
        var takenEvents = 0
        var connections = 0
    }

    let state = Mutex(State())
    private let held = Mutex<[any Channel]>([])
    private let accepted = Mutex<[any Channel]>([])
    /// An element for each request that is held.
    let holds: AsyncStream<Void>
    private let holding: AsyncStream<Void>.Continuation
    private let script: @Sendable (Request) -> Action
    private let channel = Mutex<(any Channel)?>(nil)

    /// - Parameter script: What to do with each request but those that a gateway makes itself.
    init(keys: [TestKey], script: @escaping @Sendable (Request) -> Action) {
        self.script = script
        (holds, holding) = AsyncStream.makeStream()
        state.withLock { $0.keys = keys.map(\.jwk) }
    }

    var requests: [Request] { state.withLock { $0.requests } }

    func start(host: String = "127.0.0.1", port: Int = 0) async throws -> Int {
        let channel = try await ServerBootstrap(group: .singletonMultiThreadedEventLoopGroup)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelInitializer { channel in
                self.state.withLock { $0.connections += 1 }
                self.accepted.withLock { $0.append(channel) }
                return channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(UpstreamHandler(upstream: self))
                }
            }
            .bind(host: host, port: port).get()
        self.channel.withLock { $0 = channel }
        return channel.localAddress?.port ?? 0
    }

    fileprivate func hold(_ channel: any Channel) {
        held.withLock { $0.append(channel) }
        holding.yield()
    }

    /// Answers the requests that are held.
    func answerHeld(_ body: String = "{}", headers: String = "") {
        let channels = held.withLock { channels in
            defer { channels = [] }
            return channels
        }
        let answer = "HTTP/1.1 200 OK\r\n\(headers)Content-Length: \(body.utf8.count)\r\n\r\n\(body)"
        for channel in channels { channel.writeAndFlush(ByteBuffer(string: answer), promise: nil) }
    }

    /// Ends all at once, as a process does that is killed.
    func kill() async {
        await stop()
        let channels = accepted.withLock { channels in
            defer { channels = [] }
            return channels
        }
        for channel in channels { try? await channel.close().get() }
    }

    func stop() async { try? await channel.withLock { $0 }?.close().get() }

    fileprivate func action(_ request: Request) -> Action {
        switch request.target {
        case "/.well-known/jwks.json":
            return state.withLock {
                $0.keyFetches += 1
                return .ok(JSON.object(["keys": .array($0.keys)]).description)
            }
        // What a gateway asks an address that it lost, without a signed context.
        case "/livez": return .write("HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n")
        case Revocation.statePath:
            return state.withLock { .ok(Revocation.state($0.revocations).description + String(repeating: " ", count: $0.padding)) }
        case "/internal/events":
            return state.withLock { state in
                state.requests.append(request)
                guard state.eventRefusals == 0 else {
                    state.eventRefusals -= 1
                    return .write("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n")
                }
                state.takenEvents += 1
                return .ok()
            }
        default:
            state.withLock { $0.requests.append(request) }
            return script(request)
        }
    }
}

extension JSON {
    static func object(_ members: [String: JSON]) -> JSON {
        var object = JSONObject()
        for (name, value) in members.sorted(by: { $0.key < $1.key }) { object[name] = value }
        return .object(object)
    }
}

private final class UpstreamHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private let upstream: TestUpstream
    private var text: [UInt8] = []
    private var number = 0

    init(upstream: TestUpstream) { self.upstream = upstream }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        text.append(contentsOf: unwrapInboundIn(data).readableBytesView)
        while let request = next() {
            switch upstream.action(request) {
            case .write(let answer): context.writeAndFlush(wrapOutboundOut(ByteBuffer(string: answer)), promise: nil)
            case .writeAndClose(let answer):
                let bound = NIOLoopBound(context, eventLoop: context.eventLoop)
                context.writeAndFlush(wrapOutboundOut(ByteBuffer(string: answer))).whenComplete { _ in bound.value.close(promise: nil) }
            case .drip(let answer):
                for byte in answer.utf8 { context.writeAndFlush(wrapOutboundOut(ByteBuffer(bytes: [byte])), promise: nil) }
            case .close: context.close(promise: nil)
            case .nothing: break
            case .hold: upstream.hold(context.channel)
            }
        }
    }

    private func next() -> TestUpstream.Request? {
        guard let end = text.firstRange(of: Array("\r\n\r\n".utf8)) else { return nil }
        let head = String(decoding: text[..<end.lowerBound], as: UTF8.self)
        let words = head.split(separator: "\r\n")[0].split(separator: " ")
        var request = TestUpstream.Request(method: String(words[0]), target: String(words[1]), head: head, body: [], number: number)
        var bodyEnd = end.upperBound
        if request.header("transfer-encoding") != nil {
            guard let last = text[end.upperBound...].firstRange(of: Array("0\r\n\r\n".utf8)) else { return nil }
            bodyEnd = last.upperBound
        } else {
            bodyEnd += request.header("content-length").flatMap { Int($0) } ?? 0
        }
        guard text.count >= bodyEnd else { return nil }
        request.body = Array(text[end.upperBound..<bodyEnd])
        text.removeSubrange(..<bodyEnd)
        number += 1
        return request
    }
}
