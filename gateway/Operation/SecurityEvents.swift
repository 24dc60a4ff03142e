import Contracts
import Core
import Logging
import NIOCore
import Operations

/// Tells activity of attempts that belong in a tenant's audit trail, beside the request's way. The queue holds 1,000 events while
/// activity is away; one that finds no place in it, or that the gateway's stop leaves there, is logged.
struct SecurityEvents: Sendable {
    private static let shortestPause: Duration = .milliseconds(50)
    private static let longestPause: Duration = .seconds(5)

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

    /// Hands over one event after another, each until activity has taken it. Returns when ``finish()`` was called and the queue is
    /// empty, or when the task is cancelled; what is left then is logged.
    func run() async {
        for await event in events {
            let body = Event.encode([event])
            var pause = Self.shortestPause
            while true {
                // The stream hands out what it holds after a cancellation too.
                if Task.isCancelled {
                    logLost(event)
                    break
                }
                let answer = try? await caller.call(.activity, method: "POST", target: "/internal/events", body: body).get()
                if let answer, (200..<300).contains(answer.status) { break }
                // Said of the event, and not of the moment: it must not keep those behind it waiting.
                if let answer, [400, 413, 422].contains(answer.status) {
                    logLost(event)
                    break
                }
                do {
                    try await Task.sleep(for: pause)
                } catch {
                    logLost(event)
                    break
                }
                pause = min(pause * 2, Self.longestPause)
            }
        }
    }

    /// Takes no more events.
    func finish() { queue.finish() }
}
