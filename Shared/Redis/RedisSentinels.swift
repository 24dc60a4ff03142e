import NIOCore
import NIOPosix

/// The sentinels that know which server is the master, asked one after the other. Runs on one event loop.
final class RedisSentinels {
    /// None of the sentinels told of a master.
    struct Silent: Error {
        /// What the last of them answered, or why it did not.
        var reason: any Error
    }

    private let configuration: RedisConfiguration
    private let master: String
    private let eventLoop: any EventLoop
    /// The one that answered last stands first.
    private var addresses: [RedisAddress]

    init(_ addresses: [RedisAddress], master: String, configuration: RedisConfiguration, eventLoop: any EventLoop) {
        self.addresses = addresses
        self.master = master
        self.configuration = configuration
        self.eventLoop = eventLoop
    }

    /// The address of the master, as one of the sentinels tells it.
    ///
    /// The future fails with ``Silent`` when none does.
    func ask() -> EventLoopFuture<RedisAddress> { ask(from: 0) }

    private func ask(from index: Int) -> EventLoopFuture<RedisAddress> {
        let bound = NIOLoopBound(self, eventLoop: eventLoop)
        return question(to: addresses[index]).map { address in
            bound.value.addresses.swapAt(0, index)
            return address
        }.flatMapError { [eventLoop] error in
            let sentinels = bound.value
            guard index + 1 < sentinels.addresses.count else { return eventLoop.makeFailedFuture(Silent(reason: error)) }
            return sentinels.ask(from: index + 1)
        }
    }

    /// One sentinel is asked on a connection of its own, which ends with its answer.
    private func question(to address: RedisAddress) -> EventLoopFuture<RedisAddress> {
        let authentication = RedisConfiguration.authentication(configuration.sentinelUser, configuration.sentinelPassword)
        let commands = authentication + [["SENTINEL", "GET-MASTER-ADDR-BY-NAME", master]]
        let promise = eventLoop.makePromise(of: RedisAddress.self)
        let answer = Answer(behind: authentication.count, promise: promise)
        let bound = NIOLoopBound(answer, eventLoop: eventLoop)
        configuration.connect(to: address, on: eventLoop) {
            answer.received($0)
        } closed: {
            answer.failed($1 ?? RedisError.connectionLost)
        }
        .whenComplete { result in
            switch result {
            case .success(let channel): bound.value.connected(channel, commands)
            case .failure(let error): bound.value.failed(error)
            }
        }
        let timeout = eventLoop.assumeIsolated().scheduleTask(in: configuration.connectTimeout * 2) { answer.failed(RedisError.timeout) }
        return promise.futureResult.always { _ in timeout.cancel() }
    }

    /// What becomes of one question.
    private final class Answer {
        /// Replies to the authentication that are to come.
        private var left: Int
        /// `nil` once it is known.
        private var promise: EventLoopPromise<RedisAddress>?
        private var channel: (any Channel)?

        init(behind left: Int, promise: EventLoopPromise<RedisAddress>) {
            self.left = left
            self.promise = promise
        }

        func connected(_ channel: any Channel, _ commands: [[String]]) {
            guard promise != nil else { return channel.close(promise: nil) }
            self.channel = channel
            for command in commands { RedisCommandFormat.send(command, on: channel) }
        }

        func received(_ value: RedisValue) {
            if case .error(let text) = value { return failed(RedisError.server(text)) }
            guard left == 0 else { return left -= 1 }
            // Null for a name that it does not watch.
            guard let parts = value.array, parts.count == 2, let host = parts[0].string, let port = parts[1].integer else {
                return failed(RedisError.server("no such master"))
            }
            end { $0.succeed(RedisAddress(host, Int(port))) }
        }

        func failed(_ error: any Error) { end { $0.fail(error) } }

        private func end(_ settle: (EventLoopPromise<RedisAddress>) -> Void) {
            guard let promise else { return }
            self.promise = nil
            channel?.close(promise: nil)
            settle(promise)
        }
    }
}
