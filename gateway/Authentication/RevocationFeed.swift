import Contracts
import Core
import Logging
import NIOCore
import Operations
import Redis
import Synchronization

/// Keeps the ``RevocationState`` up to date: by messages over Redis at once, and by polling identity and tenant every 2 s, since a message
/// can be lost. Identity's keys are read every 30 s.
///
/// While a source does not answer, or says more than can be taken, what is known stays in force until it is too old
/// (``RevocationState/isReady``); access tokens are short-lived, which bounds what that can mean.
struct RevocationFeed: Sendable {
    private static let pollInterval = Duration.seconds(2)
    private static let keyInterval = Duration.seconds(30)
    /// How often sources are asked before each has answered once.
    private static let startInterval = Duration.milliseconds(250)

    let caller: ServiceCaller
    let revocations: RevocationState
    let keyRefresh: KeyRefresh
    let redis: RedisConfiguration
    let logger: Logger

    /// Runs until the task is cancelled.
    func run() async {
        let (polls, poll) = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
        let subscriber = RedisSubscriber(configuration: redis, channels: [Revocation.channel], eventLoop: caller.eventLoop) { event in
            switch event {
            case .message(_, let payload):
                if let json = try? JSONParser.parse(payload), let revocation = Revocation(json: json) {
                    revocations.apply(revocation)
                } else {
                    // Something of a newer release: what it means is seen in the state.
                    poll.yield()
                }
            // Messages may have been missed.
            case .subscribed: poll.yield()
            case .disconnected: break
            }
        }
        await withTaskGroup(of: Void.self) { group in
            group.addTask { await subscriber.run() }
            group.addTask { await every(Self.pollInterval) { poll.yield() } }
            group.addTask {
                var failures = FailureLog(revocations: revocations, logger: logger)
                for await _ in polls {
                    await failures.note(.identity) { revocations.setSessions(try await state(of: .identity)) }
                    await failures.note(.tenant) { revocations.setTenants(try await state(of: .tenant)) }
                }
            }
            group.addTask { await every(Self.keyInterval) { _ = keyRefresh.request(on: caller.eventLoop) {} } }
            group.addTask {
                var failures = FailureLog(revocations: revocations, logger: logger)
                for await _ in keyRefresh.requests {
                    await failures.note(.keys) { try await fetchKeys() }
                    keyRefresh.finished(mayRepeat: !revocations.isReady)
                }
            }
            await group.waitForAll()
            poll.finish()
        }
    }

    private func every(_ interval: Duration, _ body: () -> Void) async {
        while !Task.isCancelled {
            body()
            try? await Task.sleep(for: revocations.isReady ? interval : Self.startInterval)
        }
    }

    private func get(_ service: ServiceName, _ target: String) async throws -> [UInt8] {
        let answer = try await caller.call(service, target: target).get()
        guard answer.status == 200 else { throw Problem.internal("status \(answer.status)") }
        return answer.body
    }

    /// Large answers are rightly large here, so the parser's limit on values is raised.
    private static let limits = JSONParser.Limits(depth: 8, values: 8_000_000)

    private func state(of service: ServiceName) async throws -> [Revocation] {
        let state = try JSONParser.parse(try await get(service, Revocation.statePath), limits: Self.limits)
        guard let revocations = Revocation.all(in: state) else { throw Problem.internal("no state of revocations") }
        return revocations
    }

    private func fetchKeys() async throws {
        let keys = try await SigningKeys.read(try await get(.identity, "/.well-known/jwks.json"))
        guard !keys.identifiers.isEmpty else { throw Problem.internal("the key set has no key that can be used") }
        revocations.setKeys(keys)
    }
}

/// Counts that a source fails, and logs that it does and that it works again: once each.
private struct FailureLog {
    let revocations: RevocationState
    let logger: Logger
    private var failing: Set<RevocationState.Source> = []

    init(revocations: RevocationState, logger: Logger) {
        self.revocations = revocations
        self.logger = logger
    }

    mutating func note(_ source: RevocationState.Source, _ body: () async throws -> Void) async {
        do {
            try await body()
            if failing.remove(source) != nil {
                logger.info("A source of the gateway's state answers again", metadata: ["source": "\(source)"])
            }
        } catch {
            if Task.isCancelled { return }
            revocations.noteFailure(of: source)
            if failing.insert(source).inserted {
                logger.warning(
                    "A source of the gateway's state gives no answer that can be used; what is known stays in force",
                    metadata: ["source": "\(source)", "error": "\((error as? Problem)?.context ?? "\(error)")"])
            }
        }
    }
}
