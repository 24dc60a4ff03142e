import Core
import NIOCore

/// Answers what the gateway itself has, and what nobody has.
struct OwnPages: Layer {
    func admit(_ exchange: Exchange) -> Verdict {
        if exchange.route != nil { return .goOn }
        guard exchange.isOwnPage else { return .refuse(.notFound) }
        let head = exchange.head
        guard head.isSafe else { return .refuse(Problem(.methodNotAllowed, "This page allows GET and HEAD.")) }
        guard head.path.count == head.target.count else {
            let detail = "This document takes no parameters."
            return .refuse(Problem(.unknownParameter, detail, faults: [.init(pointer: "?", code: .unknownParameter, detail: detail)]))
        }
        if exchange.withHeadBytes({ $0[head.path].equals(Self.reference) }) {
            return .answer(exchange.worker.shared.referencePage.answer)
        }
        return document(exchange)
    }

    private static let description: StaticString = "/openapi.json"
    private static let reference: StaticString = "/docs"

    static func has(_ path: UnsafeRawBufferPointer) -> Bool { path.equals(description) || path.equals(reference) }

    /// The description of all services' routes.
    private func document(_ exchange: Exchange) -> Verdict {
        let bound = NIOLoopBound(exchange, eventLoop: exchange.worker.eventLoop)
        exchange.worker.shared.apiDocument.fetch(on: exchange.worker.eventLoop).whenComplete { result in
            switch result {
            case .success(let answer): bound.value.resume(.answer(answer))
            case .failure:
                bound.value.resume(.refuse(Problem(.upstreamUnavailable, "The document cannot be put together now.", retryAfter: 1)))
            }
        }
        return .wait
    }
}
