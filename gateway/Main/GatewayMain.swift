import ArgumentParser
import Foundation
import Gateway
import Logging
import Operations
import ServiceLifecycle
import UnixSignals

@main
struct GatewayMain: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "martlet-gateway", abstract: "The way into Martlet: authenticates, limits and forwards requests to the services.",
        discussion: Setting.help(GatewayConfiguration.settings),
        subcommands: [Serve.self, Check.self, Health.self], defaultSubcommand: Serve.self)
}

/// Where settings are read from.
struct SettingsPlace: ParsableArguments {
    @Option(name: .customLong("config"), help: "The file of settings, in the place of the one that MARTLET_CONFIG_FILE names.")
    var file: String?

    func read() throws -> Settings { try Settings.fromEnvironment(file: file) }

    /// The settings; ends the process with one line on standard error and status 1 when one is wrong.
    func configuration() throws -> GatewayConfiguration {
        do {
            return try GatewayConfiguration(settings: read())
        } catch let error as SettingError {
            say("\(error)")
            throw ExitCode(1)
        }
    }
}

private func say(_ text: String) { FileHandle.standardError.write(Data("martlet-gateway: \(text)\n".utf8)) }

struct Serve: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Serve until SIGTERM or SIGINT, then let requests under way end. SIGHUP reads the settings again.")

    @OptionGroup var place: SettingsPlace

    func run() async throws {
        // A client that goes away must not end the process.
        signal(SIGPIPE, SIG_IGN)
        // Nor must a wish to read the settings again that comes before they are first in force.
        signal(SIGHUP, SIG_IGN)
        let configuration = try place.configuration()
        JSONLogHandler.bootstrap(service: "gateway", level: configuration.policy.logLevel)
        let logger = Logger(label: "gateway")
        do {
            try configuration.checkCertificate()
        } catch {
            say("\(error)")
            throw ExitCode(1)
        }
        let gateway = Gateway(configuration: configuration, logger: logger)
        let group = ServiceGroup(
            services: [gateway, Reloading(gateway: gateway, place: place)], gracefulShutdownSignals: [.sigterm, .sigint], logger: logger)
        try await group.run()
    }
}

/// Reads the settings again at each SIGHUP.
private struct Reloading: Service {
    let gateway: Gateway
    let place: SettingsPlace

    func run() async throws {
        for await _ in await UnixSignalsSequence(trapping: .sighup).cancelOnGracefulShutdown() { gateway.reload { try place.read() } }
    }
}

struct Check: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Say everything that is wrong with the settings; exit code 0 when a gateway would start with them.")

    @OptionGroup var place: SettingsPlace

    func run() async throws {
        do {
            let settings = try place.read()
            let faults = try GatewayConfiguration.faults(in: settings)
            for fault in faults { say("\(fault)") }
            for name in settings.unknownNames(besides: GatewayConfiguration.settings) { say("warning: no setting of the gateway: \(name)") }
            guard faults.isEmpty else { throw ExitCode(1) }
            let configuration = try GatewayConfiguration(settings: settings)
            try configuration.checkCertificate()
            for warning in configuration.warnings() { say("warning: \(warning)") }
            print("the settings are right")
        } catch let error as ExitCode {
            throw error
        } catch {
            say("\(error)")
            throw ExitCode(1)
        }
    }
}

struct Health: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Ask a running gateway whether it is ready; exit code 0 when it is, 1 when not. For container health checks.")

    @OptionGroup var place: SettingsPlace

    func run() async throws {
        let configuration = try place.configuration()
        let host = ["0.0.0.0", "::"].contains(configuration.adminHost) ? "127.0.0.1" : configuration.adminHost
        guard await GatewayHealth.isReady(host: host, port: configuration.adminPort) else { throw ExitCode.failure }
    }
}
