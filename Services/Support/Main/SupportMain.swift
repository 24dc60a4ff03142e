import ServiceRuntime
import Support

@main
enum SupportMain {
    static func main() async {
        await ServiceMain.run(Support.definition)
    }
}
