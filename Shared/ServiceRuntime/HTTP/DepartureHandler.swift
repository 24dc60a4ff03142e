import NIOCore

/// Closes a connection whose other side has ended it. Hummingbird keeps one open that is closed in one direction only; those who call a
/// service never do that, so the end of their side says that they have given up.
final class DepartureHandler: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = Any

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if case ChannelEvent.inputClosed? = event as? ChannelEvent { return context.close(promise: nil) }
        context.fireUserInboundEventTriggered(event)
    }
}
