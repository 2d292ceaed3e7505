package example.table;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.charset.StandardCharsets;
import java.util.Map;
import org.junit.jupiter.api.Test;

class ConfigTest {
  private static Config parse(String text) throws Config.Invalid {
    return Config.parse(text.getBytes(StandardCharsets.UTF_8));
  }

  @Test
  void aConfigurationIsReadWithItsDefaults() throws Config.Invalid {
    Config config = parse("{url: 'jdbc:postgresql://x/y', query: 'SELECT a, b FROM t WHERE a > ?'}");
    assertEquals(1000, config.every().toMillis());
  }

  @Test
  void everyProblemIsSaidAtOnce() {
    Map<String, String> words = Map.of("", "mapping", "{a: [", "not YAML", "url: http://x", "url: expected", "quer: x", "quer: unknown");
    words.forEach((text, said) -> assertTrue(assertThrows(Config.Invalid.class, () -> parse(text)).getMessage().contains(said), text));
    assertEquals(3, assertThrows(Config.Invalid.class, () -> parse("{url: x, query: 'SELECT 1', every: 0}")).problems.size());
  }
}
