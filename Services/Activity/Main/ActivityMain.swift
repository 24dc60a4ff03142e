import Activity
import ServiceRuntime

@main
enum ActivityMain {
    static func main() async {
        await ServiceMain.run(Activity.definition, commands: [Verify.self])
    }
}
