package dev.stockalert.example;

import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import com.standardwebhooks.Webhook;
import com.standardwebhooks.exceptions.WebhookVerificationException;
import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.security.GeneralSecurityException;
import java.security.KeyFactory;
import java.security.PublicKey;
import java.security.Signature;
import java.security.spec.X509EncodedKeySpec;
import java.util.Base64;
import java.util.Collections;
import java.util.HexFormat;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.Executors;

/** A receiver of StockAlert's webhooks in Java: who sent it, whose it is, whether it came before, and a quick answer. */
public final class Receiver {
  private static final int BODY_MAX = 64 * 1024; // What comes has at most 20 kB.
  private static final int TOLERANCE_S = 300;
  private static final int IDS_KEPT = 10_000;

  /** Either is enough: the one is a secret that both know, the other only what a signature is verified by. */
  private static final String SECRET = System.getenv("STOCKALERT_WEBHOOK_SECRET");

  private static final String PUBLIC_KEY = System.getenv("STOCKALERT_WEBHOOK_PUBLIC_KEY");

  /** What Java wants before the 32 bytes of an Ed25519 key: that it is one. */
  private static final byte[] X509_BEGINNING = HexFormat.of().parseHex("302a300506032b6570032100");

  /** In a program of yours: a table, written with what you make of the message. */
  private static final Set<String> SEEN =
      Collections.newSetFromMap(
          Collections.synchronizedMap(
              new LinkedHashMap<>() {
                @Override
                protected boolean removeEldestEntry(Map.Entry<String, Boolean> eldest) {
                  return size() > IDS_KEPT;
                }
              }));

  private static PublicKey publicKey() throws GeneralSecurityException {
    byte[] raw = Base64.getDecoder().decode(PUBLIC_KEY.replaceFirst("^whpk_", ""));
    byte[] encoded = new byte[X509_BEGINNING.length + raw.length];
    System.arraycopy(X509_BEGINNING, 0, encoded, 0, X509_BEGINNING.length);
    System.arraycopy(raw, 0, encoded, X509_BEGINNING.length, raw.length);
    return KeyFactory.getInstance("Ed25519").generatePublic(new X509EncodedKeySpec(encoded));
  }

  /** Verifies by the public key. While the keys rotate, there are signatures by both: one that holds is enough. */
  private static void verifyV1a(String body, HttpExchange exchange)
      throws GeneralSecurityException, WebhookVerificationException {
    String sent = exchange.getRequestHeaders().getFirst("webhook-timestamp");
    if (Math.abs(System.currentTimeMillis() / 1000 - Long.parseLong(sent)) > TOLERANCE_S) {
      throw new WebhookVerificationException("the time is not now");
    }
    String signed = exchange.getRequestHeaders().getFirst("webhook-id") + "." + sent + "." + body;
    Signature verifier = Signature.getInstance("Ed25519");
    for (String signature : exchange.getRequestHeaders().getFirst("webhook-signature").split(" ")) {
      if (!signature.startsWith("v1a,")) {
        continue;
      }
      verifier.initVerify(publicKey());
      verifier.update(signed.getBytes(StandardCharsets.UTF_8));
      if (verifier.verify(Base64.getDecoder().decode(signature.substring("v1a,".length())))) {
        return;
      }
    }
    throw new WebhookVerificationException("no signature by the key");
  }

  /** Throws where the body is not from whom it should be, or is old. */
  private static void verify(String body, HttpExchange exchange)
      throws GeneralSecurityException, WebhookVerificationException {
    if (SECRET == null && PUBLIC_KEY == null) {
      throw new WebhookVerificationException("nothing to verify by");
    }
    if (SECRET != null) {
      Map<String, List<String>> headers = exchange.getRequestHeaders();
      new Webhook(SECRET).verify(body, headers);
    }
    if (PUBLIC_KEY != null) {
      verifyV1a(body, exchange);
    }
  }

  private static void receive(HttpExchange exchange) throws IOException {
    try (exchange) {
      byte[] bytes = exchange.getRequestBody().readNBytes(BODY_MAX + 1);
      if (bytes.length > BODY_MAX) {
        exchange.sendResponseHeaders(413, -1);
        return;
      }
      String body = new String(bytes, StandardCharsets.UTF_8); // As it came: a signature is over bytes.
      try {
        verify(body, exchange);
      } catch (WebhookVerificationException | GeneralSecurityException | RuntimeException e) {
        System.out.println("refused: " + e.getMessage());
        exchange.sendResponseHeaders(401, -1);
        return;
      }
      JsonObject message = JsonParser.parseString(body).getAsJsonObject();
      String type = message.get("type").getAsString();
      if (type.equals("destination.verification")) {
        System.out.println("verified");
        answerChallenge(exchange, message.getAsJsonObject("data").get("challenge").getAsString());
        return;
      }
      // At least once is how it comes: what came before has its id.
      String id = exchange.getRequestHeaders().getFirst("webhook-id");
      System.out.println(SEEN.add(id) ? "received " + type + " " + id : "repeated " + id);
      exchange.sendResponseHeaders(204, -1);
    }
  }

  private static void answerChallenge(HttpExchange exchange, String challenge) throws IOException {
    JsonObject answer = new JsonObject();
    answer.addProperty("challenge", challenge);
    byte[] bytes = answer.toString().getBytes(StandardCharsets.UTF_8);
    exchange.getResponseHeaders().set("content-type", "application/json");
    exchange.sendResponseHeaders(200, bytes.length);
    exchange.getResponseBody().write(bytes);
  }

  public static void main(String[] args) throws IOException {
    int port = Integer.parseInt(System.getenv().getOrDefault("STOCKALERT_WEBHOOK_PORT", "3000"));
    HttpServer server = HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), port), 0);
    server.createContext("/", Receiver::receive);
    server.setExecutor(Executors.newFixedThreadPool(8));
    server.start();
    System.out.println("listening on " + server.getAddress().getPort());
  }
}
