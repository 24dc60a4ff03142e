import Contracts
import Core

/// Where services hand over their outboxes, and the gateway its security events.
struct EventRoutes: Sendable {
    let store: EventStore

    /// The largest delivery, in bytes.
    static let bodyLimit = 64 << 20

    var routes: [Route] {
        [
            .service(.post, "/internal/events", bodyLimit: Self.bodyLimit) { [store] call, context in
                // A delivery of some megabytes is read and hashed: not on the threads that answer everybody else (Decisions/0006).
                try await withTaskExecutorPreference(globalConcurrentExecutor) {
                    let limits = JSONParser.Limits(values: 1_000_000)
                    try await store.append(try Event.decode(try JSONParser.parse(call.body, limits: limits)), as: context)
                }
                return .noContent
            }
        ]
    }
}
