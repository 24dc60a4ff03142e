/// What is on its way over one connection in pipeline mode, and which batch the next answer belongs to. Holds no handle.
///
/// Each batch is a run of steps that ends in a sync. The server answers step by step, in order; after the first error it skips
/// the rest up to the sync, whose answer ends the batch whatever happened.
struct PipelineStateMachine<Batch> {
    enum Step: Equatable {
        case prepare(statement: Int)
        case execute
        case sync
    }

    /// What libpq hands out.
    enum Event {
        /// A statement succeeded, with rows or without.
        case success
        case failure
        /// The server skipped the step because of an earlier failure in the same batch.
        case skipped
        /// libpq's mark between the answers of two steps.
        case end
        case sync
    }

    enum Action {
        case none
        /// The answer of the batch's n-th statement.
        case deliver(Batch, statement: Int)
        /// The batch failed at its n-th statement, or at its sync (`nil`).
        case fail(Batch, statement: Int?)
        /// The batch is over; its results or its failure can be handed out.
        case complete(Batch)
        /// The answers do not fit what was sent: the connection must not be used any more.
        case violation
    }

    /// How a statement is to be run.
    enum Preparation {
        case prepared
        case prepareNow
        /// Another batch's prepare is on its way and may yet be skipped, so this run must not count on it.
        case unnamed
    }

    private struct InFlight {
        let batch: Batch
        let serial: Int
        var statement = 0
        var isFailed = false
    }

    private enum Preparedness: Equatable {
        case underway(serial: Int)
        case done
    }

    private var steps = Ring<Step>()
    private var batches = Ring<InFlight>()
    private var answered = false
    private var serial = 0
    private var preparedness: [Int: Preparedness] = [:]

    /// Batches sent and not yet over.
    var depth: Int { batches.count }
    /// Whether any answer is still to come.
    var isBusy: Bool { !steps.isEmpty }
    /// Statements that are, or are about to be, prepared.
    var preparedCount: Int { preparedness.count }

    mutating func begin(_ batch: Batch) {
        serial += 1
        batches.append(InFlight(batch: batch, serial: serial))
    }

    /// How to run the statement in the batch begun last.
    func preparation(of statement: Int) -> Preparation {
        switch preparedness[statement] {
        case nil: .prepareNow
        case .done: .prepared
        case .underway(let serial): serial == self.serial ? .prepared : .unnamed
        }
    }

    mutating func didSend(_ step: Step) {
        if case .prepare(let statement) = step { preparedness[statement] = .underway(serial: serial) }
        steps.append(step)
    }

    /// Whether the statement is prepared or about to be.
    func knows(_ statement: Int) -> Bool { preparedness[statement] != nil }

    /// Whether the statement's prepare has been answered.
    func isPrepared(_ statement: Int) -> Bool { preparedness[statement] == .done }

    /// Forgets that the statement is prepared; the server is told to in the batch begun last.
    mutating func forget(_ statement: Int) { preparedness[statement] = nil }

    mutating func receive(_ event: Event) -> Action {
        guard let step = steps.first, let current = batches.first else { return .violation }
        switch (event, step) {
        case (.end, _):
            // A mark before any answer is libpq's way of saying that it moves on to the next step.
            guard answered else { return .none }
            answered = false
            if step == .sync { return .none }
            if step == .execute { batches.updateFirst { $0.statement += 1 } }
            steps.popFirst()
            return .none
        case (.sync, .sync):
            answered = false
            steps.popFirst()
            batches.popFirst()
            return .complete(current.batch)
        case (.failure, .sync):
            // A constraint that is checked at commit.
            guard !current.isFailed else { return .violation }
            batches.updateFirst { $0.isFailed = true }
            answered = true
            return .fail(current.batch, statement: nil)
        case (_, .sync), (.sync, _):
            return .violation
        case (_, _) where answered:
            return .violation
        case (.success, .prepare(let statement)):
            answered = true
            if preparedness[statement] == .underway(serial: current.serial) { preparedness[statement] = .done }
            return current.isFailed ? .violation : .none
        case (.success, .execute):
            answered = true
            return current.isFailed ? .violation : .deliver(current.batch, statement: current.statement)
        case (.failure, _), (.skipped, _):
            answered = true
            if case .prepare(let statement) = step, preparedness[statement] == .underway(serial: current.serial) {
                preparedness[statement] = nil
            }
            if current.isFailed { return event == .skipped ? .none : .violation }
            guard event == .failure else { return .violation }
            batches.updateFirst { $0.isFailed = true }
            return .fail(current.batch, statement: current.statement)
        }
    }

    /// The connection is gone: everything on its way, oldest first, with whether it has failed already. Nothing is prepared.
    mutating func lose() -> [(batch: Batch, isFailed: Bool)] {
        var lost: [(batch: Batch, isFailed: Bool)] = []
        while let entry = batches.popFirst() { lost.append((entry.batch, entry.isFailed)) }
        self = PipelineStateMachine()
        return lost
    }

    // The ring is no sequence: its closure reads in place.
    // swift-format-ignore: ReplaceForEachWithForLoop
    func forEachBatch(_ body: (Batch) -> Void) { batches.forEach { body($0.batch) } }
}
