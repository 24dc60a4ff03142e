import Core
import NIOCore
import Operations
import Synchronization

/// The description of the whole API (OpenAPI 3.1): those of all services as one, kept for 10 s and put together by one at a time.
final class APIDocument: Sendable {
    private enum State {
        case none
        case running(EventLoopFuture<OwnAnswer>)
        case ready(OwnAnswer, until: NIODeadline)
    }

    private static let lifetime = TimeAmount.seconds(10)
    private let caller: ServiceCaller
    private let state = Mutex(State.none)

    init(caller: ServiceCaller) { self.caller = caller }

    /// The document; fails with ``UpstreamFailure`` when a service does not answer, since a part would pass for the whole.
    func fetch(on loop: any EventLoop) -> EventLoopFuture<OwnAnswer> {
        state.withLock { state in
            switch state {
            case .ready(let answer, let until) where NIODeadline.now() < until: return loop.makeSucceededFuture(answer)
            case .running(let future): return future.hop(to: loop)
            case .none, .ready:
                let future = assemble()
                state = .running(future)
                future.whenComplete { result in
                    self.state.withLock { $0 = (try? result.get()).map { .ready($0, until: .now() + Self.lifetime) } ?? .none }
                }
                return future.hop(to: loop)
            }
        }
    }

    private func assemble() -> EventLoopFuture<OwnAnswer> {
        let calls = ServiceName.allCases.map { caller.call($0, target: "/openapi.json", timeout: .seconds(5)) }
        return EventLoopFuture.whenAllSucceed(calls, on: caller.eventLoop).flatMapThrowing { answers in
            let documents = try answers.map { answer in
                guard answer.status == 200 else { throw UpstreamFailure.broken }
                return try JSONParser.parse(answer.body, limits: .init(values: 1_000_000))
            }
            let body = ByteBuffer(bytes: Self.merge(documents).bytes)
            return OwnAnswer(status: 200, type: "application/json", body: body, compressedBody: AnswerCompression.compressed(body))
        }
    }

    /// One document of several: the first gives everything but paths, tags and components, which are joined. Of members of one name
    /// the first stays.
    static func merge(_ documents: [JSON]) -> JSON {
        var whole = documents.first?.object ?? JSONObject()
        whole["paths"] = join(documents.map { $0["paths"]?.object })
        var components = JSONObject()
        for documentComponents in documents.compactMap({ $0["components"]?.object }) {
            for name in documentComponents.names where components[name] == nil {
                components[name] = join(documents.map { $0["components"]?[name]?.object })
            }
        }
        whole["components"] = .object(components)
        return .object(whole)
    }

    private static func join(_ objects: [JSONObject?]) -> JSON {
        var joined = JSONObject()
        for object in objects.compactMap(\.self) {
            for member in object.members where joined[member.name] == nil { joined[member.name] = member.value }
        }
        return .object(joined)
    }
}
