import Core
import ServiceRuntime

/// Makes the next signing key when it is time, and removes keys that no living token was signed with.
struct SigningKeyRotation: Worker {
    let keys: SigningKeys

    let name = "signing-key-rotation"
    let interval: Duration = .seconds(60)

    func runOnce() async throws -> Bool {
        try await keys.rotate()
        return false
    }
}
