import Contracts
import Core
import Logging
import NIOCore

/// Tells activity of attempts that belong in a tenant's audit trail, beside the request's way: the queue holds 1,000 events, and what
/// activity does not take in five attempts, or what finds no place in the queue, is logged and dropped.
struct SecurityEvents: Sendable {
    private static let batchSize = 100
    private static let attempts = 5

    private let caller: ServiceCaller
    private let logger: Logger
    private let events: AsyncStream<Event>
    private let queue: AsyncStream<Event>.Continuation

    init(caller: ServiceCaller, logger: Logger) {
        self.caller = caller
        self.logger = logger
        (events, queue) = AsyncStream.makeStream(bufferingPolicy: .bufferingOldest(1000))
    }

    /// A token was used with the name of another tenant.
    func tenantMismatch(claims: TokenClaims, requestID: String) {
        let payload: JSON = ["session_id": .string(claims.session.description)]
        let event =
            Event(
                id: EventID(), tenant: claims.tenant, source: "gateway", aggregate: "tenant", aggregateID: claims.tenant.description,
                kind: "security.tenant_mismatch", actor: claims.user.description, requestID: requestID, occurredAt: .now,
                payload: payload.description)
        if case .dropped(let dropped) = queue.yield(event) { logLost(dropped) }
    }

    private func logLost(_ event: Event) {
        logger.error(
            "A security event was not taken by activity",
            metadata: ["kind": "\(event.kind)", "tenant.id": "\(event.tenant)", "request.id": "\(event.requestID)"])
    }

    /// Runs until the task is cancelled.
    func run() async {
        for await event in events {
            let body = Event.encode([event])
            for attempt in 0..<Self.attempts {
                let answer = try? await caller.call(.activity, method: "POST", target: "/internal/events", body: body).get()
                if let answer, (200..<300).contains(answer.status) { break }
                if attempt + 1 == Self.attempts { logLost(event) }
                try? await Task.sleep(for: .milliseconds(200 << attempt))
            }
        }
    }
}
