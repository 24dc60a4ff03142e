import Core
import Operations
import Resources
import ServiceRuntime

/// The support service's tickets, as far as tasks and notes about them need them.
public enum TicketCopy {
    public static let tickets = CopiedResource("ticket", permissions: .tickets, owner: "assignee_id")

    static let copy = RecordCopy(of: tickets, from: .support)
}
