import NIOCore
import NIOPosix

/// Health, metrics and state for operators, on a port of its own that listens on the local machine unless told otherwise. Each connection
/// serves one request; ``AdminPages`` has the answers.
struct AdminServer: Sendable {
    struct Request: Sendable {
        var method: RequestHead.Method
        var path: String
        var body: [UInt8]
        /// Whether it comes from this machine, where alone something may be changed.
        var isLocal: Bool
    }

    struct Page: Sendable {
        var status = 200
        var type = "application/json"
        var body: String
    }

    /// Answers a request; `nil` is 404.
    let page: @Sendable (Request, any EventLoop) -> EventLoopFuture<Page?>

    func bind(host: String, port: Int, group: any EventLoopGroup) async throws -> any Channel {
        try await ServerBootstrap(group: group)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(AdminHandler(page: page))
                }
            }
            .bind(host: host, port: port).get()
    }
}

private final class AdminHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private static let timeout = TimeAmount.seconds(10)
    private static let bodyLimit = 1024
    private let page: @Sendable (AdminServer.Request, any EventLoop) -> EventLoopFuture<AdminServer.Page?>
    private var parser = RequestHeadParser()
    private var inbound = ByteBuffer()
    private var isParsed = false
    private var isAnswered = false
    private var timer: Scheduled<Void>?

    init(page: @escaping @Sendable (AdminServer.Request, any EventLoop) -> EventLoopFuture<AdminServer.Page?>) { self.page = page }

    func channelActive(context: ChannelHandlerContext) {
        let bound = NIOLoopBound(context, eventLoop: context.eventLoop)
        timer = context.eventLoop.scheduleTask(in: Self.timeout) { bound.value.close(promise: nil) }
    }

    func channelInactive(context: ChannelHandlerContext) { timer?.cancel() }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard !isAnswered else { return }
        var buffer = unwrapInboundIn(data)
        inbound.writeBuffer(&buffer)
        do {
            if !isParsed { isParsed = try inbound.withUnsafeReadableBytes { try parser.parse($0) } }
        } catch {
            return context.close(promise: nil)
        }
        guard isParsed else { return }
        let (head, framing) = (parser.head, parser.framing)
        guard !framing.isChunked, head.contentLength ?? 0 <= Self.bodyLimit else {
            isAnswered = true
            return answer(.init(status: 413, body: "{\"error\":\"the body is too large\"}\n"), context: context)
        }
        let length = framing.length + (head.contentLength ?? 0)
        guard inbound.readableBytes >= length else { return }
        isAnswered = true
        let request = inbound.withUnsafeReadableBytes { bytes in
            AdminServer.Request(
                method: head.method, path: bytes[head.path].text, body: Array(bytes[framing.length..<length]),
                isLocal: Self.isLocal(context.remoteAddress))
        }
        let bound = NIOLoopBound((self, context), eventLoop: context.eventLoop)
        page(request, context.eventLoop).whenComplete { result in
            let (handler, context) = bound.value
            let page = (try? result.get()) ?? nil
            handler.answer(page ?? .init(status: 404, body: "{\"error\":\"not found\"}\n"), context: context)
        }
    }

    private static func isLocal(_ address: SocketAddress?) -> Bool {
        guard let text = address?.ipAddress else { return false }
        return text.hasPrefix("127.") || text == "::1" || text.hasPrefix("::ffff:127.")
    }

    private func answer(_ page: AdminServer.Page, context: ChannelHandlerContext) {
        let text =
            "HTTP/1.1 \(page.status) \r\nContent-Type: \(page.type)\r\nCache-Control: no-store\r\n"
            + "X-Content-Type-Options: nosniff\r\nContent-Length: \(page.body.utf8.count)\r\nConnection: close\r\n\r\n\(page.body)"
        let bound = NIOLoopBound(context, eventLoop: context.eventLoop)
        context.writeAndFlush(wrapOutboundOut(ByteBuffer(string: text))).whenComplete { _ in bound.value.close(promise: nil) }
    }
}
