import Contracts
import Core

/// Where services hand over their outboxes and the gateway its security events, and where they read what others have done.
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
                    let events = try Event.decode(try JSONParser.parse(call.body, limits: limits))
                    // Nobody speaks for another: what stands in the trail as done in crm was handed over by crm.
                    guard events.allSatisfy({ $0.source == context.service }) else {
                        throw Problem(.forbidden, "A service hands over events of its own only.")
                    }
                    try await store.append(events, fence: try Self.fence(call.query), as: context)
                }
                return .noContent
            },
            // Without a wait where there is nothing: a follower asks some times a second, whatever number of tenants there is.
            .service(.get, "/internal/log") { [store] call, context in
                try call.query.allowOnly(["after", "aggregates", "limit"])
                guard let position = Int64(call.query["after"] ?? "0"), position >= 0 else {
                    throw Problem.invalidParameter("after", "Give a position, 0 for the log's beginning.")
                }
                let aggregates = (call.query["aggregates"] ?? "").split(separator: ",").map(String.init)
                guard !aggregates.isEmpty else { throw Problem.invalidParameter("aggregates", "Name kinds of records, joined by commas.") }
                guard let limit = Int(call.query["limit"] ?? "500"), (1...1000).contains(limit) else {
                    throw Problem.invalidParameter("limit", "Give a number from 1 to 1000.")
                }
                return .json(try await store.read(after: position, of: aggregates, limit: limit, as: context).bytes)
            },
        ]
    }

    /// The number of the relay's lease; the gateway, which has no outbox, gives none.
    private static func fence(_ query: Query) throws(Problem) -> Int64? {
        try query.allowOnly(["fence"])
        guard let text = query["fence"] else { return nil }
        guard let fence = Int64(text) else { throw .invalidParameter("fence", "Give the number of the relay's lease.") }
        return fence
    }
}
