/// Hosts where anybody may have an address or a page, so that one says nothing of whose it is, and to have one in common nothing of two companies.
public enum SharedHosts {
    public static let all = [
        // Mail.
        "126.com", "163.com", "aim.com", "aol.com", "bigpond.com", "bluewin.ch", "btinternet.com", "comcast.net", "daum.net",
        "fastmail.com",
        "free.fr", "freenet.de", "gmail.com", "gmx.at", "gmx.ch", "gmx.com", "gmx.de", "gmx.net", "googlemail.com", "hanmail.net",
        "hey.com",
        "hotmail.co.uk", "hotmail.com", "hotmail.de", "hotmail.es", "hotmail.fr", "hotmail.it", "icloud.com", "interia.pl", "laposte.net",
        "libero.it", "live.com", "mac.com", "mail.com", "mail.ru", "me.com", "msn.com", "naver.com", "o2.pl", "orange.fr", "outlook.com",
        "outlook.de", "outlook.fr", "proton.me", "protonmail.com", "qq.com", "rediffmail.com", "rocketmail.com", "seznam.cz", "sfr.fr",
        "t-online.de", "tutanota.com", "uol.com.br", "verizon.net", "virgilio.it", "wanadoo.fr", "web.de", "wp.pl", "yahoo.co.jp",
        "yahoo.co.uk", "yahoo.com", "yahoo.com.br", "yahoo.de", "yahoo.fr", "yandex.com", "yandex.ru", "ymail.com", "zoho.com",
        // Pages.
        "facebook.com", "github.io", "instagram.com", "linkedin.com", "sites.google.com", "twitter.com", "x.com", "xing.com", "youtube.com",
    ]
}
