import ArgumentParser
import Foundation
import Gateway
import Logging
import Operations
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
        discussion: Setting.help(GatewayConfiguration.settings),
        subcommands: [Serve.self, Health.self], defaultSubcommand: Serve.self)
}

struct Serve: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Serve until SIGTERM or SIGINT, then let requests under way end.")

    func run() async throws {
        // A client that goes away must not end the process.
        signal(SIGPIPE, SIG_IGN)
        let configuration = try await configured()
        JSONLogHandler.bootstrap(service: "gateway", level: configuration.logLevel)
        let logger = Logger(label: "gateway")
        do {
            try configuration.checkCertificate()
        } catch {
            FileHandle.standardError.write(Data("martlet-gateway: \(error)\n".utf8))
            throw ExitCode(1)
        }
        let group = ServiceGroup(
            services: [Gateway(configuration: configuration, logger: logger)], gracefulShutdownSignals: [.sigterm, .sigint], logger: logger)
        try await group.run()
    }
}

/// The settings; ends the process with one line on standard error and status 1 when one is wrong.
private func configured() async throws -> GatewayConfiguration {
    do {
        return try GatewayConfiguration(settings: try await Settings.fromEnvironment())
    } catch let error as SettingError {
        FileHandle.standardError.write(Data("martlet-gateway: \(error)\n".utf8))
        throw ExitCode(1)
    }
}

struct Health: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Ask a running gateway whether it is ready; exit code 0 when it is, 1 when not. For container health checks.")

    func run() async throws {
        let configuration = try await configured()
        let host = ["0.0.0.0", "::"].contains(configuration.adminHost) ? "127.0.0.1" : configuration.adminHost
        guard await GatewayHealth.isReady(host: host, port: configuration.adminPort) else { throw ExitCode.failure }
    }
}
