import Identity
import ServiceRuntime

@main
struct IdentityMain {
    static func main() async { await ServiceMain.run(Identity.definition, commands: [OperatorCommand.self]) }
}
