import ArgumentParser
import AsyncHTTPClient
import Contracts
import Core
import Foundation
import Operations
import ServiceRuntime

/// `martlet-identity operator`: the people who run the platform.
public struct OperatorCommand: AsyncParsableCommand {
    public static let configuration = CommandConfiguration(
        commandName: "operator", abstract: "Manage the people who run the platform.", subcommands: [Create.self])

    public init() {}

    struct Create: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Make somebody an operator: super_admin of the tenant 'platform'.",
            discussion: """
                The password is read from standard input, or asked for when that is a terminal. It is never an argument: those can be \
                seen by every process of the machine. Somebody who has an account already becomes an operator with it, if the password is \
                that account's. Running the command again changes nothing. Identity and tenant must be running.
                """)

        @Option(help: "The e-mail address to sign in with.")
        var email: String

        @Option(help: "The person's name.")
        var name: String

        func run() async throws {
            let settings = try Settings.fromEnvironment()
            let configuration = try RuntimeConfiguration(service: .identity, settings: settings)
            let client = ServiceClient(urls: configuration.urls, keys: try configuration.contextKeys(), client: .shared)
            let password = try Self.readPassword()
            let answer: ServiceAnswer
            do {
                answer = try await client.call(
                    .identity, .post, OperatorRoute.path,
                    body: ["email": .string(email), "name": .string(name), "password": .string(password)],
                    as: SystemContext(service: "identity"))
            } catch let problem as Problem {
                let address = configuration.urls[.identity] ?? ""
                throw OperatorFailure(description: "identity does not answer at \(address): \(problem.detail)")
            }
            guard answer.status == 200 else {
                for fault in answer.json["errors"]?.array ?? [] {
                    print("\(fault["pointer"]?.string ?? ""): \(fault["detail"]?.string ?? "")")
                }
                throw OperatorFailure(
                    description: answer.json["detail"]?.string ?? "identity answered with status \(answer.status)")
            }
            let isNew = answer.json["created"]?.bool == true
            print(isNew ? "created \(email)" : "\(email) is a user already; name and password stay as they are")
            print("\(email) is \(answer.json["role"]?.string ?? "") of the tenant \(answer.json["tenant"]?["slug"]?.string ?? "")")
        }

        private static func readPassword() throws -> String {
            if isatty(STDIN_FILENO) == 1 {
                // POSIX promises the pointer to stay valid until the next call; nothing else here calls it.
                guard let typed = getpass("password: ") else { throw OperatorFailure(description: "no password was typed") }
                return String(cString: typed)
            }
            guard let line = readLine(), !line.isEmpty else {
                throw OperatorFailure(description: "expected the password on standard input")
            }
            return line
        }
    }
}

/// Why no operator was made, in words for the terminal.
struct OperatorFailure: Error, CustomStringConvertible {
    let description: String
}
