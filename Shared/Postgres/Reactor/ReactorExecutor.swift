import Synchronization

/// Runs tasks on the threads of a client's reactors: a piece that becomes ready on such a thread stays there, any other goes to the
/// next in turn. After a reactor's end it passes on to the global executor.
final class ReactorExecutor: TaskExecutor {
    private let reactors: [Reactor]
    private let next = Atomic<Int>(0)

    init(_ reactors: [Reactor]) { self.reactors = reactors }

    func enqueue(_ job: consuming ExecutorJob) {
        nextReactor.push(.work(UnownedJob(job), asUnownedTaskExecutor()))
    }

    /// The reactor whose thread this is, else the next in turn.
    var nextReactor: Reactor {
        if reactors.count == 1 { return reactors[0] }
        if let current = Reactor.current, reactors.contains(where: { $0 === current }) { return current }
        let turn = next.wrappingAdd(1, ordering: .relaxed).oldValue
        return reactors[Int(UInt(bitPattern: turn) % UInt(reactors.count))]
    }
}
