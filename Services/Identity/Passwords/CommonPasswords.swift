/// Passwords of ten characters and more that guessing starts with.
enum CommonPasswords {
    /// Whether the password, in lower case, is one of them, or one with digits or an exclamation mark put behind it.
    static func contain(_ lowercase: String) -> Bool {
        if list.contains(lowercase) { return true }
        let stem = lowercase.reversed().drop { $0.isNumber || $0 == "!" || $0 == "." || $0 == "?" }.reversed()
        return list.contains(String(stem)) || stems.contains(String(stem))
    }

    /// Shorter words that become long enough by digits behind them: `welcome2024!`.
    private static let stems: Set<String> = [
        "abc", "abcd", "admin", "administrator", "asdf", "baseball", "changeme", "computer", "default", "demo", "dragon", "football",
        "guest", "hello", "iloveyou", "letmein", "login", "manager", "martlet", "master", "michael", "monkey", "password", "princess",
        "qwerty", "qwertz", "secret", "shadow", "spring", "summer", "autumn", "winter", "sunshine", "superman", "test", "user", "welcome",
    ]

    private static let list: Set<String> = Set(
        """
        0000000000 00000000000 000000000000 0101010101 0102030405 0123456789 01234567890 0987654321 09876543210 1010101010 1029384756 \
        1111111111 11111111111 111111111111 1111122222 1112223334 1122334455 112233445566 1212121212 121212121212 1223334444 1231231231 \
        123123123123 1234123412 12341234123 123412341234 1234512345 123451234512345 12345678900 1234567890 12345678901 123456789012 \
        1234567890123 12345678901234 1234567890a 1234567890abc 1234567890q 1234567890qw 1234567891 1234567899 123456789a 123456789abc \
        123456789q 123456789z 123456abcd 123456qwerty 1234567qwerty 1234qwerasdf 1234qwerasdfzxcv 123abc123abc 123qwe123qwe 123qweasdzxc \
        12qwaszx34 1357924680 1357986420 135792468a 1470258369 147258369a 1472583690 147852369a 1478963250 1597534862 1598753210 \
        1a2b3c4d5e 1a2b3c4d5e6f 1password1 1q2w3e4r5t 1q2w3e4r5t6y 1q2w3e4r5t6y7u 1q2w3e4r5t6y7u8i 1q2w3e4r5t6y7u8i9o0p 1qa2ws3ed4 \
        1qa2ws3ed4rf 1qaz1qaz1qaz 1qaz2wsx3edc 1qaz2wsx3edc4rfv 1qazxsw23edc 1qazxsw2cde3 2222222222 22222222222 2345678901 3333333333 \
        3141592653 31415926535 4444444444 5432154321 5555555555 55555555555 6666666666 7777777777 77777777777 7894561230 7896541230 \
        8888888888 88888888888 9876543210 98765432100 9876543211 987654321a 987654321q 9999999999 99999999999 a123456789 a1b2c3d4e5 \
        a1b2c3d4e5f6 a1s2d3f4g5 aa12345678 aa123456789 aaaaaaaaaa aaaaaaaaaaaa abc1234567 abc12345678 abc123456789 abc123abc123 abcabcabc123 \
        abcd123456 abcd12345678 abcd1234abcd abcdef123456 abcdefg123 abcdefg1234567 abcdefghij abcdefghijk abcdefghijkl abcdefghijklmnop \
        abcdefghijklmnopqrstuvwxyz access1234 admin12345 admin123456 admin1234567 admin12345678 admin123admin adminadmin admin@12345 \
        adminadmin123 adminpassword administrator allison1234 alexander1 asdasdasd123 asdasdasdasd asdf123456 asdf1234asdf asdfasdfasdf \
        asdfghjkl1 asdfghjkl123 asdfghjkl; asdfghjklqwertyuiop asdfqwerzxcv asdzxcqwe123 azertyuiop azertyuiop123 azerty123456 b123456789 \
        baseball12 basketball basketball1 beautiful1 blink182blink butterfly1 california california1 carolina12 challenge1 changeme123 \
        changemenow charlie123 chelsea123 chocolate1 christian1 christine1 christopher cinderella computer12 computer123 consumer12 \
        cowboys123 dallascowboys default123 dragon1234 dragonball dragonball1 dragonballz elizabeth1 enterprise enterprise1 everything \
        everton123 facebook12 facebook123 firebird12 football10 football11 football12 football123 forever123 freedom123 friendship \
        fuckyou123 fuckyou1234 gabriel123 godisgood1 goodmorning green12345 guest12345 hallo12345 hannah1234 harleydavidson hello12345 \
        hello123456 hellohello helloworld helloworld1 helloworld123 heslo12345 hockey1234 iloveyou10 iloveyou11 iloveyou12 iloveyou123 \
        iloveyou1234 iloveyou22 iloveyou2! iloveyouso internet12 internet123 jennifer12 jesuschrist jesus12345 jordan1234 justin1234 \
        kristina12 letmein123 letmein1234 letmeinnow lineage2222 liverpool1 liverpool123 liverpoolfc login12345 lovelovelove loveyou123 \
        manchester manchester1 manutd1234 martlet123 martletdemo masterkey1 matthew123 mercedes12 metallica1 michael123 michelle12 \
        microsoft1 minecraft1 minecraft123 monkey1234 mustang123 mypassword mypassword1 mypassword123 mynameis123 naruto1234 newpassword \
        newyork123 nicholas12 ninja12345 nopassword oracle1234 p@55w0rd123 p@ssw0rd01 p@ssw0rd12 p@ssw0rd123 p@ssw0rd1234 p@ssword12 \
        p@ssword123 pa$$w0rd12 pa$$w0rd123 pa$$word123 pa55w0rd12 pa55word123 parola1234 pass123456 pass1234567 pass12345678 pass1234pass \
        passpass123 passpasspass passw0rd01 passw0rd12 passw0rd123 passw0rd1234 passwd1234 password!! password00 password01 password10 \
        password11 password12 password123 password1234 password12345 password123456 password1! password2020 password2021 password2022 \
        password2023 password2024 password2025 password2026 password21 password22 password23 password69 password77 password88 password99 \
        password@1 password@123 passwordpassword passwort12 passwort123 pokemon123 pokemon1234 porsche911 primavera1 princess12 \
        princess123 princess1234 q123456789 q1w2e3r4t5 q1w2e3r4t5y6 q1w2e3r4t5y6u7 qazwsx1234 qazwsx12345 qazwsxedc1 qazwsxedc123 \
        qazwsxedcrfv qazwsxedcrfvtgb qazxswedcvfr qqqqqqqqqq qwe123qwe123 qweasdzxc1 qweasdzxc123 qweqweqwe123 qweqweqweqwe qwer123456 \
        qwer1234qwer qwerasdfzxcv qwert12345 qwerty1234 qwerty12345 qwerty123456 qwerty1234567 qwerty123456789 qwertyqwerty qwertyuiop \
        qwertyuiop1 qwertyuiop12 qwertyuiop123 qwertyuiop1234567890 qwertyuiop[] qwertyuiopasdfghjkl qwertyuiopasdfghjklzxcvbnm \
        qwertzuiop qwertzuiop123 ranger1234 realmadrid realmadrid1 rockstar12 root123456 rootrootroot samantha12 samsung123 samsung1234 \
        sayangkamu schalke04! scooby1234 secret1234 secret12345 secretpassword service123 shadow1234 simple1234 skateboard slipknot666 \
        snowball12 soccer1234 southpark1 spiderman1 spiderman123 spongebob1 starwars12 starwars123 stephanie1 strawberry strawberry1 \
        summer1234 summer2020! summer2023! summer2024! summer2025! sunflower1 sunshine12 sunshine123 superman12 superman123 superstar1 \
        supersecret teddybear1 temp123456 temppassword temporary1 test123456 test1234567 test12345678 test1234test testing123 testing1234 \
        testtest12 testtest123 testtesttest thankyou123 thebeatles therock123 thunder123 tinkerbell tinkerbell1 trustno1trustno1 \
        trustnoone tweetybird twilight12 undertaker unbelievable unicorn123 user123456 vanessa123 victoria12 virginia12 volleyball \
        warcraft12 watermelon welcome123 welcome1234 welcome12345 welcome2020 welcome2023 welcome2024 welcome2025 welcome2026 welcome@123 \
        whatever12 whatever123 william123 windows123 winter2023! winter2024! winter2025! wolverine1 wordpass12 xxxxxxxxxx yankees123 \
        yellow1234 yourpassword zaq12wsxcde3 zaq1xsw2cde3 zaq1zaq1zaq1 zxasqw1234 zxcasdqwe123 zxcvbn1234 zxcvbn123456 zxcvbnm123 \
        zxcvbnm1234 zxcvbnm12345 zxcvbnm,./ zxcvbnmasdfghjkl zxcvzxcvzxcv zzzzzzzzzz
        """.split(separator: " ").map(String.init))
}
