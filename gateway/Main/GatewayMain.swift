import ArgumentParser
import Gateway
import Logging
import ServiceLifecycle
import UnixSignals

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

@main
struct GatewayMain: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "martlet-gateway", abstract: "The way into Martlet: authenticates, limits and forwards requests to the services.",
        subcommands: [Serve.self, Health.self], defaultSubcommand: Serve.self)
}

struct Serve: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Serve until SIGTERM or SIGINT, then let requests under way end.",
        discussion: "Settings are environment variables MARTLET_…; gateway/GatewayConfiguration.swift lists them.")

    func run() async throws {
        // A client that goes away must not end the process.
        signal(SIGPIPE, SIG_IGN)
        LoggingSystem.bootstrap { JSONLogHandler(label: $0) }
        let logger = Logger(label: "gateway")
        let configuration: GatewayConfiguration
        do {
            configuration = try await GatewayConfiguration.read()
        } catch {
            throw ValidationError("\(error)")
        }
        let group = ServiceGroup(
            services: [Gateway(configuration: configuration, logger: logger)], gracefulShutdownSignals: [.sigterm, .sigint], logger: logger)
        try await group.run()
    }
}

struct Health: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Ask a running gateway whether it is ready; exit code 0 when it is, 1 when not. For container health checks.")

    func run() async throws {
        let configuration = try await GatewayConfiguration.read()
        guard await GatewayHealth.isReady(port: configuration.adminPort) else { throw ExitCode.failure }
    }
}
