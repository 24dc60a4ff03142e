import Core
import ServiceRuntime

/// Makes the next signing key when it is time, and removes keys that no living token was signed with.
struct SigningKeyRotation: Sendable {
    let keys: SigningKeys

    var job: Job {
        .periodic("signing-key-rotation", every: .seconds(60)) { _, _ in
            try await keys.rotate()
            return .done()
        }
    }
}
