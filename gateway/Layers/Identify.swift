import NIOCore

/// Takes over the request's id and trace, or makes them, and looks up its route: what is asked of a caller depends on it, and what may be a stream. The table of
/// routes is public, so a look at it tells nothing.
struct Identify: Layer {
    func admit(_ exchange: Exchange) -> Verdict {
        let worker = exchange.worker
        exchange.withHeadBytes { bytes in
            if isRequestID(bytes[exchange.head.requestID]) { exchange.requestID = .given(exchange.head.requestID) }
            exchange.trace = TraceContext(inbound: bytes[exchange.head.traceparent], random: &worker.random)
            exchange.route = worker.routes.route(of: bytes[exchange.head.path])
            exchange.streaming = exchange.route?.streaming(of: exchange.head, bytes)
        }
        return .goOn
    }
}
