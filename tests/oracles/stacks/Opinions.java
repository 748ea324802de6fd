import java.io.*;
import java.nio.file.*;
import java.security.*;
import java.security.cert.*;
import java.util.*;
import javax.net.ssl.*;

/**
 * What Java's PKIX trust manager says of many chains, names of hosts aside.
 *
 * Reads lines "NAME<TAB>HOST<TAB>DIRECTORY" and answers each with two lines: "daemon NAME<TAB>" or
 * "client NAME<TAB>", for the chain of that side, and "ok" or why it is refused.
 */
public final class Opinions {
    static Collection<? extends java.security.cert.Certificate> certificates(Path file) throws Exception {
        try (InputStream in = Files.newInputStream(file)) {
            return CertificateFactory.getInstance("X.509").generateCertificates(in);
        }
    }

    /** The chain in `chain`, before whoever trusts the certificates in `anchors`. */
    static void ask(Path anchors, Path chain, boolean server) throws Exception {
        KeyStore trusted = KeyStore.getInstance("PKCS12");
        trusted.load(null, new char[0]);
        int n = 0;
        for (var one : certificates(anchors)) trusted.setCertificateEntry("ca" + n++, one);
        TrustManagerFactory trust = TrustManagerFactory.getInstance("PKIX");
        trust.init(trusted);
        X509TrustManager manager = (X509TrustManager) trust.getTrustManagers()[0];
        X509Certificate[] sent = certificates(chain).toArray(new X509Certificate[0]);
        if (server) manager.checkServerTrusted(sent, "UNKNOWN");
        else manager.checkClientTrusted(sent, "UNKNOWN");
    }

    static String opinion(Path folder, String side) {
        boolean server = side.equals("daemon");
        try {
            ask(folder.resolve(server ? "client" : "daemon").resolve("ca.pem"), folder.resolve(side).resolve("cert.pem"), server);
            return "ok";
        } catch (Exception error) {
            Throwable cause = error;
            while (cause.getCause() != null) cause = cause.getCause();
            return String.valueOf(cause.getMessage()).replaceAll("\\s+", " ");
        }
    }

    public static void main(String[] arguments) throws Exception {
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, "UTF-8"));
        PrintStream out = new PrintStream(System.out, true, "UTF-8");
        for (String line; (line = in.readLine()) != null;) {
            String[] fields = line.split("\t");
            for (String side : List.of("daemon", "client")) {
                out.println(side + " " + fields[0] + "\t" + opinion(Path.of(fields[2]), side));
            }
        }
    }
}
