import Testing

@testable import Gateway

/// The phases of an exchange as scripts: events, and what is to be done at each.
@Suite struct ExchangeStateMachineTests {
    private typealias Event = ExchangeStateMachine.Event
    private typealias Action = ExchangeStateMachine.Action

    private func actions(_ events: [Event]) -> [Action] {
        var machine = ExchangeStateMachine()
        return events.map { machine.handle($0) }
    }

    @Test func aRequestWithoutABodyGoesStraightToItsService() {
        #expect(
            actions([.admitted(bodyIsWhole: true), .connectionIsReady, .answerHead(isLast: true)]) == [.acquire, .send, .relayHead])
    }

    @Test func aBodyIsAwaitedBeforeAnythingIsAskedOfTheService() {
        #expect(
            actions([
                .admitted(bodyIsWhole: false), .bodyIsWhole, .connectionIsReady, .answerHead(isLast: false), .answerPart(isLast: false),
                .answerPart(isLast: true),
            ]) == [.awaitBody, .acquire, .send, .relayHead, .relayPart, .relayPart])
    }

    @Test func aFailureBeforeTheAnswerIsRetriedOrToldAndOneWithinItCutsItOff() {
        let sent: [Event] = [.admitted(bodyIsWhole: true), .connectionIsReady]
        #expect(actions(sent + [.upstreamFailed(mayRetry: true), .connectionIsReady]).suffix(2) == [.acquire, .send])
        #expect(
            actions(sent + [.upstreamFailed(mayRetry: false), .answeredHere]).suffix(2) == [
                .refuseForService, .answer(giveUp: .connection),
            ])
        #expect(
            actions(sent + [.answerHead(isLast: false), .upstreamFailed(mayRetry: false), .answerPart(isLast: true)]).suffix(2)
                == [.abortAnswer, .nothing])
    }

    /// What an end in each phase gives up, and that nothing that comes afterwards does anything.
    @Test(
        arguments: [
            ([], .nothing), ([.admitted(bodyIsWhole: false)], .nothing), ([.admitted(bodyIsWhole: true)], .place),
            ([.admitted(bodyIsWhole: true), .connectionIsReady], .connection),
            ([.admitted(bodyIsWhole: true), .connectionIsReady, .answerHead(isLast: false)], .connectionInAnswer),
        ] as [([ExchangeStateMachine.Event], ExchangeStateMachine.Upstream)])
    func anEndGivesUpWhatIsHeldAndIsFinal(events: [ExchangeStateMachine.Event], held: ExchangeStateMachine.Upstream) {
        let late: [Event] = [
            .admitted(bodyIsWhole: true), .bodyIsWhole, .connectionIsReady, .answerHead(isLast: true), .answerPart(isLast: true),
            .upstreamFailed(mayRetry: true), .answeredHere, .clientGone, .deadline,
        ]
        let nothing = [Action](repeating: .nothing, count: late.count)
        #expect(actions(events + [.clientGone] + late).dropFirst(events.count) == [.leave(giveUp: held)] + nothing)
        // An answer that has begun cannot be replaced by another.
        guard held != .connectionInAnswer else { return #expect(actions(events + [.answeredHere]).last == .nothing) }
        #expect(actions(events + [.answeredHere] + late).dropFirst(events.count) == [.answer(giveUp: held)] + nothing)
    }

    @Test func theDeadlineSaysWhoWasTooSlow() {
        #expect(actions([.deadline]) == [.refuseLateAnswer])
        #expect(actions([.admitted(bodyIsWhole: false), .deadline]).last == .refuseLateBody)
        #expect(actions([.admitted(bodyIsWhole: true), .deadline]).last == .refuseLateAnswer)
        let sent: [Event] = [.admitted(bodyIsWhole: true), .connectionIsReady]
        #expect(actions(sent + [.deadline]).last == .refuseLateAnswer)
        #expect(actions(sent + [.answerHead(isLast: false), .deadline]).last == .nothing)
    }

    @Test func whatComesOutOfTurnIsPassedOver() {
        for event in [Event.bodyIsWhole, .connectionIsReady, .answerHead(isLast: true), .answerPart(isLast: true)] {
            #expect(actions([event, .admitted(bodyIsWhole: true)]) == [.nothing, .acquire])
        }
    }
}
