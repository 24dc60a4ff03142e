import NIOCore
import NIOPosix

/// Health and metrics for operators, on a port of its own that listens on the local machine unless told otherwise: `/livez`, `/readyz`,
/// `/metrics`. Each connection serves one request.
struct AdminServer: Sendable {
    struct Page: Sendable {
        var status: Int
        var body: String
    }

    /// Answers a path; `nil` is 404.
    let page: @Sendable (String, any EventLoop) -> EventLoopFuture<Page?>

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
    private let page: @Sendable (String, any EventLoop) -> EventLoopFuture<AdminServer.Page?>
    private var parser = RequestHeadParser()
    private var inbound = ByteBuffer()
    private var isAnswered = false
    private var timer: Scheduled<Void>?

    init(page: @escaping @Sendable (String, any EventLoop) -> EventLoopFuture<AdminServer.Page?>) { self.page = page }

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
            guard try inbound.withUnsafeReadableBytes({ try parser.parse($0) }) else { return }
        } catch {
            return context.close(promise: nil)
        }
        isAnswered = true
        let head = parser.head
        guard head.isSafe else { return answer(.init(status: 405, body: "only GET\n"), context: context) }
        let path = inbound.withUnsafeReadableBytes { $0[head.path].text }
        let bound = NIOLoopBound((self, context), eventLoop: context.eventLoop)
        page(path, context.eventLoop).whenComplete { result in
            let (handler, context) = bound.value
            let page = (try? result.get()) ?? nil
            handler.answer(page ?? .init(status: 404, body: "not found\n"), context: context)
        }
    }

    private func answer(_ page: AdminServer.Page, context: ChannelHandlerContext) {
        let text =
            "HTTP/1.1 \(page.status) \r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\nCache-Control: no-store\r\n"
            + "X-Content-Type-Options: nosniff\r\nContent-Length: \(page.body.utf8.count)\r\nConnection: close\r\n\r\n\(page.body)"
        let bound = NIOLoopBound(context, eventLoop: context.eventLoop)
        context.writeAndFlush(wrapOutboundOut(ByteBuffer(string: text))).whenComplete { _ in bound.value.close(promise: nil) }
    }
}
