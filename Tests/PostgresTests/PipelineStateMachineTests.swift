import Testing

@testable import Postgres

@Suite struct PipelineStateMachineTests {
    typealias Machine = PipelineStateMachine<String>

    /// Sends a batch that runs the statements, preparing those that are not.
    private func send(_ batch: String, _ statements: [Int], to machine: inout Machine) -> [Machine.Preparation] {
        machine.begin(batch)
        var preparations: [Machine.Preparation] = []
        for statement in statements {
            let preparation = machine.preparation(of: statement)
            if preparation == .prepareNow { machine.didSend(.prepare(statement: statement)) }
            machine.didSend(.execute)
            preparations.append(preparation)
        }
        machine.didSend(.sync)
        return preparations
    }

    private func receive(_ events: [Machine.Event], _ machine: inout Machine) -> [String] {
        events.map { event in
            switch machine.receive(event) {
            case .none: "-"
            case .deliver(let batch, let statement): "\(batch)[\(statement)]"
            case .fail(let batch, let statement): "\(batch)!\(statement.map(String.init) ?? "sync")"
            case .complete(let batch): "\(batch)."
            case .violation: "violation"
            }
        }
    }

    @Test func answersGoToTheBatchThatAsked() {
        var machine = Machine()
        #expect(send("a", [1, 2], to: &machine) == [.prepareNow, .prepareNow])
        #expect(send("b", [3], to: &machine) == [.prepareNow])
        let answers = receive(
            [.success, .end, .success, .end, .success, .end, .success, .end, .sync, .end, .success, .end, .success, .end, .sync],
            &machine)
        #expect(answers == ["-", "-", "a[0]", "-", "-", "-", "a[1]", "-", "a.", "-", "-", "-", "b[0]", "-", "b."])
        #expect(!machine.isBusy && machine.depth == 0)
        #expect(send("c", [1, 2, 3], to: &machine) == [.prepared, .prepared, .prepared])
    }

    @Test func aSkippedPrepareIsDoneAgain() {
        var machine = Machine()
        #expect(send("a", [1, 2], to: &machine) == [.prepareNow, .prepareNow])
        let answers = receive([.success, .end, .failure, .end, .skipped, .end, .skipped, .end, .sync], &machine)
        #expect(answers == ["-", "-", "a!0", "-", "-", "-", "-", "-", "a."])
        #expect(send("b", [1, 2], to: &machine) == [.prepared, .prepareNow])
    }

    @Test func aPrepareOfAnotherBatchIsNotCountedOn() {
        var machine = Machine()
        #expect(send("a", [1, 1], to: &machine) == [.prepareNow, .prepared])
        #expect(send("b", [1], to: &machine) == [.unnamed])
        #expect(receive([.failure, .end, .skipped, .end, .skipped, .end, .sync], &machine) == ["a!0", "-", "-", "-", "-", "-", "a."])
        #expect(receive([.success, .end, .sync], &machine) == ["b[0]", "-", "b."])
        #expect(send("c", [1], to: &machine) == [.prepareNow])
    }

    @Test func aFailureAtCommitBelongsToNoStatement() {
        var machine = Machine()
        _ = send("a", [1], to: &machine)
        #expect(
            receive([.success, .end, .success, .end, .failure, .end, .sync], &machine) == ["-", "-", "a[0]", "-", "a!sync", "-", "a."])
    }

    @Test func answersThatNobodyAskedForAreAViolation() {
        var machine = Machine()
        #expect(receive([.success], &machine) == ["violation"])
        _ = send("a", [1], to: &machine)
        #expect(receive([.sync], &machine) == ["violation"])
        #expect(receive([.success, .end, .success, .success], &machine) == ["-", "-", "a[0]", "violation"])
    }

    @Test func aLostConnectionGivesBackEachBatchOnce() {
        var machine = Machine()
        _ = send("a", [1], to: &machine)
        _ = send("b", [1], to: &machine)
        _ = receive([.failure, .end], &machine)
        let lost = machine.lose()
        #expect(lost.map(\.batch) == ["a", "b"] && lost.map(\.isFailed) == [true, false])
        #expect(machine.lose().isEmpty && !machine.isBusy)
        #expect(send("c", [1], to: &machine) == [.prepareNow])
    }

    @Test func forgettingPreparesAnew() {
        var machine = Machine()
        _ = send("a", [1], to: &machine)
        machine.begin("forget")
        machine.forget(1)
        machine.didSend(.execute)
        machine.didSend(.sync)
        #expect(send("b", [1], to: &machine) == [.prepareNow])
        _ = receive([.success, .end, .success, .end, .sync, .success, .end, .sync], &machine)
        #expect(send("c", [1], to: &machine) == [.unnamed])
        _ = receive([.success, .end, .success, .end, .sync], &machine)
        #expect(send("d", [1], to: &machine) == [.prepared])
    }
}
