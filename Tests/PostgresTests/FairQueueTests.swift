import Core
import Testing

@testable import Postgres

@Suite struct FairQueueTests {
    private func request(_ tenant: TenantID) -> Request {
        let request = Request(settings: nil, statements: [], deadline: .max, tenant: tenant)
        request.state = .waiting
        return request
    }

    /// Two tenants at their share and a third below it: whoever's place becomes free, the third gets one before either has two.
    @Test func aTenantBelowItsShareIsNotPassedOverByThoseAtTheirs() {
        let (first, second, third) = (TenantID(), TenantID(), TenantID())
        var queue = FairQueue()
        for _ in 0..<4 { queue.append(request(first)) }
        for _ in 0..<4 { queue.append(request(second)) }
        queue.append(request(third))
        var served: [TenantID] = []
        // In turn one place becomes free that the first, or the second, or the third may have.
        for round in 0..<4 {
            var isFree = true
            let owner = round % 2 == 0 ? first : second
            queue.dispatch { request in
                guard let tenant = request.tenant else { return .allMustWait }
                if tenant != third, tenant != owner { return .tenantMustWait }
                guard isFree else { return .allMustWait }
                isFree = false
                served.append(tenant)
                return .started
            }
        }
        #expect(served.prefix(3).contains(third), "\(served)")
        #expect(queue.count == 5)
    }

    @Test func tenantsTakeTurnsAndEachKeepsItsOrder() {
        let (many, few) = (TenantID(), TenantID())
        var queue = FairQueue()
        let requests = [many, many, many, few].map(request)
        for request in requests { queue.append(request) }
        var order: [Int] = []
        queue.dispatch { request in
            order.append(requests.firstIndex { $0 === request } ?? -1)
            return .started
        }
        #expect(order == [0, 3, 1, 2])
        #expect(queue.isEmpty)
    }

    /// When there is no more room, the youngest of whoever has most gives way; a tenant with as many has to wait outside.
    @Test func theLongestQueueMakesRoom() {
        let (many, few) = (TenantID(), TenantID())
        var queue = FairQueue()
        let requests = (0..<3).map { _ in request(many) }
        for request in requests { queue.append(request) }
        #expect(queue.makeRoom(for: many) == nil)
        #expect(queue.makeRoom(for: few) === requests[2])
        #expect(queue.count == 2)
    }

    @Test func whatWasAnsweredMeanwhileTakesNobodysTurn() {
        let (gone, waiting) = (TenantID(), TenantID())
        var queue = FairQueue()
        let cancelled = request(gone)
        queue.append(cancelled)
        queue.append(request(waiting))
        cancelled.state = .finished
        var served: [TenantID?] = []
        queue.dispatch { request in
            served.append(request.tenant)
            return .started
        }
        #expect(served == [waiting])
        #expect(queue.isEmpty)
    }
}
