import Core
import Hummingbird
import Logging
import NIOCore
import Postgres
import Redis
import Synchronization

/// Whether the service may be sent requests.
final class Readiness: Sendable {
    enum State: String, Sendable {
        /// Waits for the database and its migrations.
        case starting
        case ready
        /// Told to stop: serves what runs, wants nothing new.
        case draining
    }
    private let value = Mutex(State.starting)

    var state: State { value.withLock { $0 } }

    /// Goes on to a later state; a stop that came first stays a stop.
    func become(_ state: State, _ logger: Logger) {
        let isChange = value.withLock { value in
            guard value != .draining, value != state else { return false }
            value = state
            return true
        }
        if isChange { logger.info(state == .ready ? "ready" : "stopping") }
    }
}

/// `/livez`, `/readyz` and `/metrics`, on a port of their own that the gateway has no way to.
struct AdminResponder: HTTPResponder {
    let readiness: Readiness
    let postgres: PostgresClient
    let systemPostgres: PostgresClient
    let routeMetrics: RouteMetrics
    let refusals: ContextRefusals
    let relayMetrics: RelayMetrics
    /// Of each copy that the service follows the log of events for.
    let followerMetrics: [FollowerMetrics]
    /// Of a process that does jobs.
    let jobMetrics: JobMetrics?
    let redis: RedisClient

    func respond(to request: Request, context: ServiceRequestContext) async throws -> Response {
        switch request.head.path {
        case "/livez": text(.ok, "ok\n")
        case "/readyz": await ready()
        case "/metrics": text(.ok, metrics())
        default: text(.notFound, "not found\n")
        }
    }

    /// Redis is told but not required: it holds wake-ups only, and the service works without it.
    private func ready() async -> Response {
        let checks: JSON = [
            "state": .string(readiness.state.rawValue), "postgres": .bool(postgres.isReady),
            "system_postgres": .bool(systemPostgres.isReady),
            "redis": .bool((try? await redis.command(["PING"])) != nil),
        ]
        let isReady = readiness.state == .ready && postgres.isReady && systemPostgres.isReady
        return Response(
            status: isReady ? .ok : .serviceUnavailable, headers: [.contentType: Reply.jsonType],
            body: ResponseBody(byteBuffer: ByteBuffer(bytes: checks.bytes)))
    }

    private func metrics() -> String {
        var text = ""
        routeMetrics.write(to: &text)
        refusals.write(to: &text)
        for (lane, client) in [("runtime", postgres), ("system", systemPostgres)] {
            let statistics = client.statistics
            let values = [
                ("connections", statistics.fastConnections), ("bulk_connections", statistics.bulkConnections),
                ("checkouts", statistics.checkouts),
                ("in_flight", statistics.inFlight), ("depth", statistics.greatestDepth), ("waiting", statistics.waiting),
                ("batches_total", statistics.batches), ("statements_total", statistics.statements),
                ("reconnects_total", statistics.reconnects), ("overloads_total", statistics.overloads),
                ("timeouts_total", statistics.timeouts),
            ]
            for (name, value) in values {
                text += "martlet_postgres_\(name){role=\"\(lane)\"} \(value)\n"
            }
        }
        text += Self.lines(
            "outbox",
            [
                ("delivered_total", "counter", "Events handed over.", "\(relayMetrics.delivered)"),
                ("pending", "gauge", "Events of the batch on its way.", "\(relayMetrics.pending)"),
                ("dead_total", "counter", "Events that activity refused, set aside.", "\(relayMetrics.dead)"),
                ("lag_seconds", "gauge", "Age of the oldest event not handed over.", "\(relayMetrics.lag / .seconds(1))"),
                ("leader", "gauge", "1 when this process hands over.", relayMetrics.isLeader ? "1" : "0"),
            ])
        if !followerMetrics.isEmpty {
            func values(_ value: (FollowerMetrics) -> String) -> [(labels: String, value: String)] {
                followerMetrics.map { ("{aggregate=\"\($0.aggregate)\"}", value($0)) }
            }
            text += Self.lines(
                "follower",
                [
                    ("applied_total", "counter", "Events of the log applied to copies.", values { "\($0.applied)" }),
                    ("dead_total", "counter", "Events of the log that could not be applied, set aside.", values { "\($0.dead)" }),
                    ("position", "gauge", "Up to where the log was followed.", values { "\($0.position)" }),
                    ("lag_seconds", "gauge", "How old what the copies say may be.", values { "\($0.lag / .seconds(1))" }),
                    ("leader", "gauge", "1 when this process follows the log.", values { $0.isLeader ? "1" : "0" }),
                ])
        }
        jobMetrics?.write(to: &text)
        return text
    }

    private static func lines(_ part: String, _ values: [(name: String, kind: String, help: String, value: String)]) -> String {
        lines(part, values.map { ($0.name, $0.kind, $0.help, [(labels: "", value: $0.value)]) })
    }

    private static func lines(
        _ part: String, _ metrics: [(name: String, kind: String, help: String, values: [(labels: String, value: String)])]
    ) -> String {
        metrics.map { name, kind, help, values in
            "# HELP martlet_\(part)_\(name) \(help)\n# TYPE martlet_\(part)_\(name) \(kind)\n"
                + values.map { "martlet_\(part)_\(name)\($0.labels) \($0.value)\n" }.joined()
        }.joined()
    }

    private func text(_ status: HTTPResponse.Status, _ text: String) -> Response {
        Response(
            status: status, headers: [.contentType: "text/plain; version=0.0.4; charset=utf-8"],
            body: ResponseBody(byteBuffer: ByteBuffer(string: text)))
    }
}
