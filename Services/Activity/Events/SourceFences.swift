import Core
import Postgres
import Synchronization

/// The highest lease of each service's relay that was seen here: a relay that was stopped, replaced and woken up again delivers nothing.
final class SourceFences: Sendable {
    private let postgres: PostgresClient
    /// What this process has written down already, so that an ordinary delivery need not.
    private let known = Mutex<[String: Int64]>([:])

    init(postgres: PostgresClient) { self.postgres = postgres }

    /// Writes down the fence of the service that calls, if it is higher than the one that is there. Deliveries under a lower one that
    /// are on their way end first.
    func raise(to fence: Int64, as context: SystemContext) async throws {
        if let known = known.withLock({ $0[context.service] }), known >= fence { return }
        _ = try await postgres.batch(
            as: context,
            [
                """
                insert into event_source (source, fence) values (\(context.service), \(fence))
                on conflict (source) do update set fence = greatest(event_source.fence, excluded.fence)
                """
            ])
        known.withLock { $0[context.service] = max($0[context.service] ?? 0, fence) }
    }

    /// Gives a row when the fence is the highest, which stays so until the transaction ends.
    static func hold(_ fence: Int64, as context: SystemContext) -> SQL {
        "select 1 from event_source where source = \(context.service) and fence = \(fence) for share"
    }
}
