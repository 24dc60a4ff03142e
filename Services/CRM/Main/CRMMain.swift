import CRM
import ServiceRuntime

@main
enum CRMMain {
    static func main() async {
        await ServiceMain.run(CRM.definition)
    }
}
