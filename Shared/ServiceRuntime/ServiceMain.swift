import ArgumentParser
import AsyncHTTPClient
import Core
import Foundation
import Logging
import NIOCore
import NIOHTTP1
import Operations
import Postgres

/// The command line that every service has: `serve`, `migrate`, `worker`, `health`.
public enum ServiceMain {
    @TaskLocal static var definition: ServiceDefinition?
    @TaskLocal static var furtherCommands: [any ParsableCommand.Type] = []

    /// Runs the process's command. Does not return before it ends.
    ///
    /// - Parameter commands: subcommands that only this service has.
    public static func run(_ definition: ServiceDefinition, commands: [any ParsableCommand.Type] = []) async {
        await $definition.withValue(definition) {
            await $furtherCommands.withValue(commands) { await RootCommand.main() }
        }
    }

    /// The service whose process this is.
    static var current: ServiceDefinition {
        guard let definition else { preconditionFailure("commands run inside ServiceMain.run") }
        return definition
    }

    /// Says what stopped the start in one line on standard error, and ends with status 1.
    static func fail(_ error: any Error) -> Never {
        let text = (error as? PostgresError).map { String(reflecting: $0) } ?? String(describing: error)
        FileHandle.standardError.write(Data("martlet-\(current.name.rawValue): \(text)\n".utf8))
        exit(1)
    }
}

struct RootCommand: AsyncParsableCommand {
    static var configuration: CommandConfiguration {
        CommandConfiguration(
            commandName: "martlet-\(ServiceMain.current.name.rawValue)",
            abstract: "The \(ServiceMain.current.name.rawValue) service of Martlet.",
            discussion: Setting.help(RuntimeConfiguration.settings + ServiceMain.current.settings),
            subcommands: [Serve.self, Migrate.self, Work.self, Health.self] + ServiceMain.furtherCommands, defaultSubcommand: Serve.self)
    }
}

struct Serve: AsyncParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Serve the API, and do the background work unless MARTLET_WORKERS is false.")

    func run() async throws { await ServiceProcess.run(.serve) }
}

struct Work: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "worker", abstract: "Do the background work only: jobs, the outbox's relay, and following the log.")

    func run() async throws { await ServiceProcess.run(.worker) }
}

enum ServiceProcess {
    static func run(_ mode: ServiceHost.Mode) async {
        let definition = ServiceMain.current
        do {
            let settings = try Settings.fromEnvironment()
            let configuration = try RuntimeConfiguration(service: definition.name, settings: settings)
            JSONLogHandler.bootstrap(service: definition.name.rawValue, level: configuration.logLevel)
            let logger = Logger(label: definition.name.rawValue)
            let host = try await ServiceHost(definition, settings: settings, mode: mode, logger: logger)
            try await host.run { port, adminPort in
                logger.info("listening", metadata: [LogKey.port: .stringConvertible(port), "admin.port": .stringConvertible(adminPort)])
            }
        } catch {
            ServiceMain.fail(error)
        }
    }
}

struct Migrate: AsyncParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Apply the migrations that are missing, as the owner of the schema.")

    @Option(help: "Seconds to wait for Postgres, the database and the role, which may be made at the same time.")
    var wait = 60

    func run() async throws {
        let definition = ServiceMain.current
        do {
            let settings = try Settings.fromEnvironment()
            let configuration = try RuntimeConfiguration(service: definition.name, settings: settings)
            // Progress goes to the terminal; the log would say the same again.
            let silent = Logger(label: "migrate") { _ in SwiftLogNoOpLogHandler() }
            let migrator = Migrator(configuration: try configuration.postgres(as: .owner), schema: definition.name.rawValue)
            let migrations = try ServiceHost.migrations(of: definition)
            let applied = try await Self.whenConnected(within: .seconds(wait)) {
                try await migrator.apply(migrations, logger: silent) { progress in
                    switch progress {
                    case .applied(let migration): print("applied: \(migration)")
                    case .waiting(let migration): print("waiting for a lock that others hold: \(migration)")
                    }
                }
            }
            print(applied.isEmpty ? "up to date" : "up to date after \(applied.count) migrations")
        } catch {
            ServiceMain.fail(error)
        }
    }

    /// Tries again every second while there is no connection, and says on standard error each new reason it waits for.
    private static func whenConnected<Result: Sendable>(
        within limit: Duration, _ body: @Sendable () async throws -> Result
    ) async throws -> Result {
        let deadline = ContinuousClock.now + limit
        var said = ""
        while true {
            do {
                return try await body()
            } catch MigrationError.notConnected(let reason) where ContinuousClock.now < deadline {
                if reason != said { FileHandle.standardError.write(Data("waiting: \(reason)\n".utf8)) }
                said = reason
                try await Task.sleep(for: .seconds(1))
            }
        }
    }
}

struct Health: AsyncParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Ask the running service whether it is ready; exit status 0 when it is.")

    func run() async throws {
        let definition = ServiceMain.current
        do {
            let configuration = try RuntimeConfiguration(service: definition.name, settings: try Settings.fromEnvironment())
            let host = ["0.0.0.0", "::"].contains(configuration.adminHost) ? "127.0.0.1" : configuration.adminHost
            let response = try await HTTPClient.shared.execute(
                HTTPClientRequest(url: "http://\(host):\(configuration.adminPort)/readyz"), timeout: .seconds(2))
            let body = try await response.body.collect(upTo: 4096)
            print(String(buffer: body))
            if response.status != .ok { throw ExitCode(1) }
        } catch let code as ExitCode {
            throw code
        } catch {
            ServiceMain.fail(error)
        }
    }
}
