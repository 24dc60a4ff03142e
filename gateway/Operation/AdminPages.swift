import Contracts
import Core
import Logging
import NIOCore
import Operations

/// What operators may ask of a running gateway. The pages are as long as its settings and its table of routes, whatever the traffic.
struct AdminPages: Sendable {
    let workers: Workers
    let shared: SharedParts
    /// `nil` when no TLS is served.
    let certificates: CertificateStore?
    /// Files and sockets that may be open.
    let fileLimit: Int
    let isReady: @Sendable () -> Bool

    func page(_ request: AdminServer.Request, on loop: any EventLoop) -> EventLoopFuture<AdminServer.Page?> {
        switch (request.method, request.path) {
        case (.get, "/livez"), (.head, "/livez"): return loop.makeSucceededFuture(.init(type: Self.text, body: "alive\n"))
        case (.get, "/readyz"), (.head, "/readyz"):
            let page =
                isReady() ? AdminServer.Page(type: Self.text, body: "ready\n") : .init(status: 503, type: Self.text, body: "not ready\n")
            return loop.makeSucceededFuture(page)
        case (.get, "/metrics"): return metrics(on: loop)
        case (.get, "/routes"): return loop.makeSucceededFuture(Self.json(["routes": .array(shared.routes.routes.map(Self.route))]))
        case (.get, "/upstreams"): return workers.metrics(on: loop).map { Self.json(Self.upstreams($0)) }
        case (.get, "/limits"): return workers.metrics(on: loop).map { Self.json(Self.limits($0)) }
        case (.get, "/log-level"): return loop.makeSucceededFuture(Self.logLevel)
        case (.put, "/log-level"): return loop.makeSucceededFuture(Self.setLogLevel(request))
        default: return loop.makeSucceededFuture(nil)
        }
    }

    private static let text = "text/plain; charset=utf-8"

    private static func json(_ json: JSON) -> AdminServer.Page { AdminServer.Page(body: "\(json)\n") }

    private static func fault(_ status: Int, _ text: String) -> AdminServer.Page {
        AdminServer.Page(status: status, body: "\(["error": .string(text)] as JSON)\n")
    }

    private func metrics(on loop: any EventLoop) -> EventLoopFuture<AdminServer.Page?> {
        workers.metrics(on: loop).and(ProcessFigures.read(fileLimit: fileLimit, on: loop)).map { metrics, figures in
            let process = ProcessMetrics(
                isReady: isReady(), droppedLogLines: shared.logOutput.droppedLines, sources: shared.revocations.sources, figures: figures)
            var text = metrics.rendered(routes: shared.routes.routes, process: process)
            if let certificates {
                text += TLSMetrics.rendered(handshakes: metrics.handshakes, certificate: certificates.figures)
            }
            return AdminServer.Page(type: "text/plain; version=0.0.4; charset=utf-8", body: text)
        }
    }

    private static func route(_ route: RouteTable.Route) -> JSON {
        [
            "route": .string(route.prefix), "service": .string(route.service.rawValue), "open": .bool(route.isOpen),
            "streamed": .array(route.streamed.map(streamed)),
        ]
    }

    /// All other routes below a prefix have their bodies gathered, up to the limit of the settings, and answers that end.
    private static func streamed(_ route: StreamedRoute) -> JSON {
        let (body, lane): (JSON, UpstreamLane) =
            switch route.streaming {
            case .upload(_, let limit): (["policy": "streamed", "limit": .number(limit)], .bulk)
            case .answer: (["policy": "gathered"], .stream)
            }
        return [
            "method": .string(route.method.rawValue), "path": .string(route.path), "body": body, "lane": .string("\(lane.name)"),
        ]
    }

    private static func upstreams(_ metrics: RequestMetrics) -> JSON {
        let addresses = metrics.upstreams.flatMap { figures in
            figures.endpoints.map { address -> JSON in
                [
                    "service": .string(figures.service.rawValue), "address": .string(address.address),
                    "state": .string("\(address.state)"), "connections": .number(address.connections),
                    "in_flight": .number(address.inUse.reduce(0, +)), "lanes": .object(lanes(address.inUse)),
                    "limit": .number(address.concurrencyLimit),
                    "failures": .number(address.failures), "held_back": .number(address.losses),
                ]
            }
        }
        let waiting = metrics.upstreams.map { figures -> JSON in
            [
                "service": .string(figures.service.rawValue), "waiting": .number(figures.waiting.reduce(0, +)),
                "overloaded": .number(figures.overloaded + figures.waitedInVain), "tenant_busy": .number(figures.tenantBusy),
                "unreachable": .number(figures.unreachable),
            ]
        }
        return ["addresses": .array(addresses), "services": .array(waiting)]
    }

    private static func lanes(_ counts: [Int]) -> JSONObject {
        var lanes = JSONObject()
        for lane in UpstreamLane.allCases { lanes["\(lane.name)"] = .number(counts[lane.rawValue]) }
        return lanes
    }

    private static func limits(_ metrics: RequestMetrics) -> JSON {
        var refused = JSONObject()
        for kind in LimitKind.allCases { refused[kind.rawValue] = .number(metrics.limited[kind.index]) }
        return [
            "buckets": .number(metrics.limitBuckets), "draws": .number(metrics.leaseDraws),
            "failed_draws": .number(metrics.failedLeaseDraws),
            "redis": metrics.loopsWithoutRedis == 0 ? "answers" : "away", "loops_without_redis": .number(metrics.loopsWithoutRedis),
            "refused": .object(refused),
        ]
    }

    private static var logLevel: AdminServer.Page { json(["level": .string(JSONLogHandler.processLevel.rawValue)]) }

    /// Holds until the process ends or a reload brings another level.
    private static func setLogLevel(_ request: AdminServer.Request) -> AdminServer.Page {
        guard request.isLocal else { return fault(403, "the level is changed from this machine only") }
        guard let level = (try? JSONParser.parse(request.body))?["level"]?.string.flatMap({ Logger.Level(setting: $0) }) else {
            return fault(400, "expected {\"level\": …} with trace, debug, info, notice, warning or error")
        }
        JSONLogHandler.processLevel = level
        return logLevel
    }
}
