import Core

/// A user as identity tells the tenant service who becomes a member.
public struct Person: Hashable, Sendable {
    public var id: UserID
    public var email: String
    public var name: String

    public init(id: UserID, email: String, name: String) {
        self.id = id
        self.email = email
        self.name = name
    }

    public var json: JSON { ["id": .string(id.description), "email": .string(email), "name": .string(name)] }
}
