import Core
import Logging
import Operations
import ServiceLifecycle

/// An error in one line for the log: of a ``Problem`` also what its public text leaves out.
func describeForLog(_ error: any Error) -> String {
    guard let problem = error as? Problem else { return String(describing: error) }
    return [problem.description, problem.context].compactMap { $0 }.joined(separator: ": ")
}

/// Runs one ``Worker`` until the service stops: again at once while there is more to do, else after its interval; after a
/// failure it waits longer each time, up to a minute.
struct WorkerLoop: Service {
    let worker: any Worker
    let logger: Logger

    func run() async throws {
        await cancelWhenGracefulShutdown { await loop() }
    }

    private func loop() async {
        var failures = 0
        while !Task.isCancelled {
            var pause = worker.interval
            do {
                if try await worker.runOnce() { pause = .zero }
                failures = 0
            } catch {
                if Task.isCancelled { return }
                failures += 1
                pause = min(.seconds(60), worker.interval * (1 << min(failures, 10)))
                logger.warning(
                    "background work failed and will be tried again",
                    metadata: [
                        LogKey.worker: .string(worker.name), LogKey.count: .stringConvertible(failures),
                        LogKey.error: .string(describeForLog(error)),
                    ])
            }
            if pause > .zero { try? await Task.sleep(for: pause) }
        }
    }
}
