package example.table;

import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.yaml.snakeyaml.Yaml;
import org.yaml.snakeyaml.error.YAMLException;

/** What stands in the ConfigMap. */
record Config(String url, String query, Duration every) {

  /** A problem and where it is. */
  record Problem(String path, String message) {}

  /** What is wrong; all at once, in words for the person who wrote the configuration. */
  static final class Invalid extends Exception {
    final transient List<Problem> problems;

    Invalid(List<Problem> problems) {
      super(String.join("; ", problems.stream().map(p -> p.path().isEmpty() ? p.message() : p.path() + ": " + p.message()).toList()));
      this.problems = problems;
    }
  }

  static Config parse(byte[] text) throws Invalid {
    Object root;
    try {
      root = new Yaml().load(new String(text, StandardCharsets.UTF_8));
    } catch (YAMLException fault) {
      throw new Invalid(List.of(new Problem("", "not YAML: " + fault.getMessage().lines().findFirst().orElse(""))));
    }
    if (!(root instanceof Map<?, ?> map)) {
      throw new Invalid(List.of(new Problem("", "expected a mapping with url and query")));
    }
    List<Problem> problems = new ArrayList<>();
    for (Object key : map.keySet()) {
      if (!List.of("url", "query", "every").contains(key)) {
        problems.add(new Problem(String.valueOf(key), "unknown: expected url, query or every"));
      }
    }
    if (!(map.get("url") instanceof String url) || !url.startsWith("jdbc:")) {
      problems.add(new Problem("url", "expected a JDBC address: jdbc:postgresql://host/database"));
    }
    if (!(map.get("query") instanceof String query) || query.chars().filter(c -> c == '?').count() != 1) {
      problems.add(new Problem("query", "expected SQL with one ? for the last key, whose first column is the key and second the payload"));
    }
    Object every = map.containsKey("every") ? map.get("every") : 1.0;
    if (!(every instanceof Number seconds) || seconds.doubleValue() < 0.05) {
      problems.add(new Problem("every", "expected seconds, at least 0.05"));
    }
    if (!problems.isEmpty()) {
      throw new Invalid(problems);
    }
    return new Config((String) map.get("url"), (String) map.get("query"), Duration.ofMillis((long) (((Number) every).doubleValue() * 1000)));
  }
}
