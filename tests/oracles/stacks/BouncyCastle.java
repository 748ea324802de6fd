// A client that reads its certificate, key and CA through Bouncy Castle, as docker-java does, and leaves TLS to Java.
// Arguments: the URL and the directory. Prints the HTTP status, or why there is none.
import java.io.FileReader;
import java.net.URI;
import java.nio.file.Path;
import java.security.*;
import java.security.cert.Certificate;
import java.util.*;
import javax.net.ssl.*;
import org.bouncycastle.asn1.pkcs.PrivateKeyInfo;
import org.bouncycastle.cert.X509CertificateHolder;
import org.bouncycastle.cert.jcajce.JcaX509CertificateConverter;
import org.bouncycastle.jce.provider.BouncyCastleProvider;
import org.bouncycastle.openssl.PEMParser;
import org.bouncycastle.openssl.jcajce.JcaPEMKeyConverter;

public class BouncyCastle {
    static List<Object> read(Path file) throws Exception {
        List<Object> found = new ArrayList<>();
        try (PEMParser parser = new PEMParser(new FileReader(file.toFile()))) {
            for (Object one = parser.readObject(); one != null; one = parser.readObject()) {
                found.add(one);
            }
        }
        return found;
    }

    static Certificate[] certificates(Path file) throws Exception {
        JcaX509CertificateConverter converter = new JcaX509CertificateConverter().setProvider("BC");
        List<Certificate> found = new ArrayList<>();
        for (Object one : read(file)) {
            found.add(converter.getCertificate((X509CertificateHolder) one));
        }
        return found.toArray(new Certificate[0]);
    }

    public static void main(String[] arguments) throws Exception {
        Security.addProvider(new BouncyCastleProvider());
        Path directory = Path.of(arguments[1]);
        PrivateKeyInfo information = (PrivateKeyInfo) read(directory.resolve("key.pem")).get(0);
        PrivateKey key = new JcaPEMKeyConverter().getPrivateKey(information);
        char[] password = "x".toCharArray();
        KeyStore keys = KeyStore.getInstance("JKS");
        keys.load(null, null);
        keys.setKeyEntry("client", key, password, certificates(directory.resolve("cert.pem")));
        KeyStore anchors = KeyStore.getInstance("JKS");
        anchors.load(null, null);
        anchors.setCertificateEntry("ca", certificates(directory.resolve("ca.pem"))[0]);
        KeyManagerFactory keyManagers = KeyManagerFactory.getInstance("SunX509");
        keyManagers.init(keys, password);
        TrustManagerFactory trustManagers = TrustManagerFactory.getInstance("PKIX");
        trustManagers.init(anchors);
        SSLContext context = SSLContext.getInstance("TLS");
        context.init(keyManagers.getKeyManagers(), trustManagers.getTrustManagers(), null);
        HttpsURLConnection connection = (HttpsURLConnection) URI.create(arguments[0]).toURL().openConnection();
        connection.setSSLSocketFactory(context.getSocketFactory());
        try {
            System.out.println(connection.getResponseCode());
        } catch (java.io.IOException problem) {
            System.out.println(problem);
        }
    }
}
