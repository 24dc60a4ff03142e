import Core

/// Judges what the head says of the body, before a byte of it is awaited.
struct JudgeBody: Layer {
    func admit(_ exchange: Exchange) -> Verdict {
        if exchange.head.isBodyCoded, exchange.hasBody { return .refuse(BodyCoding.refusal) }
        if let length = exchange.head.contentLength, length > exchange.bodyLimit { return .refuse(exchange.bodyTooLarge) }
        return .goOn
    }
}
