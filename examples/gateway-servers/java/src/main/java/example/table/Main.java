package example.table;

import gateway.v1.EventingGrpc;
import gateway.v1.EventingOuterClass.DescribeRequest;
import gateway.v1.EventingOuterClass.Description;
import gateway.v1.EventingOuterClass.EventSource;
import gateway.v1.EventingOuterClass.Problem;
import gateway.v1.EventingOuterClass.StreamRequest;
import gateway.v1.EventingOuterClass.StreamResponse;
import gateway.v1.EventingOuterClass.Validation;
import io.grpc.Server;
import io.grpc.netty.shaded.io.grpc.netty.NettyServerBuilder;
import io.grpc.protobuf.services.HealthStatusManager;
import io.grpc.stub.StreamObserver;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.net.URI;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.TimeUnit;

/** A gateway-server in Java: rows of a table, read by any JDBC driver, become events. */
public final class Main {
  private static final String SCHEMA =
      """
      {"$schema": "https://json-schema.org/draft/2020-12/schema", "type": "object", "properties": {
       "url": {"type": "string", "description": "JDBC address"},
       "query": {"type": "string", "description": "SQL with one ?: rows behind that key; first column the key, second the payload"},
       "every": {"type": "number", "minimum": 0.05, "default": 1, "description": "seconds between two looks"}},
       "required": ["url", "query"], "additionalProperties": false}""";

  private static final class Eventing extends EventingGrpc.EventingImplBase {
    private final Map<List<String>, TableStream> streams = new ConcurrentHashMap<>();

    @Override
    public void describe(DescribeRequest request, StreamObserver<Description> answer) {
      answer.onNext(Description.newBuilder().setType("table").setVersion("1.0.0").setConfigSchema(SCHEMA)
          .setSummary("rows of a database table become events").build());
      answer.onCompleted();
    }

    @Override
    public void validate(EventSource source, StreamObserver<Validation> answer) {
      Validation.Builder validation = Validation.newBuilder();
      try {
        Config.parse(source.getConfig().toByteArray());
      } catch (Config.Invalid fault) {
        fault.problems.forEach(p -> validation.addProblems(Problem.newBuilder().setPath(p.path()).setMessage(p.message())));
      }
      answer.onNext(validation.build());
      answer.onCompleted();
    }

    @Override
    public StreamObserver<StreamRequest> stream(StreamObserver<StreamResponse> client) {
      return new TableStream(client, streams);
    }
  }

  public static void main(String[] words) throws IOException, InterruptedException {
    String address = words.length == 2 && words[0].equals("--listen") ? words[1] : "127.0.0.1:9390";
    URI where = URI.create("tcp://" + address);
    Server server = NettyServerBuilder.forAddress(new InetSocketAddress(where.getHost(), where.getPort()))
        .addService(new Eventing())
        .addService(new HealthStatusManager().getHealthService())
        .build()
        .start();
    System.out.println("listening on " + address);
    Runtime.getRuntime().addShutdownHook(new Thread(() -> {
      try {
        server.shutdownNow().awaitTermination(2, TimeUnit.SECONDS); // the client comes back with its positions
      } catch (InterruptedException ended) {
        Thread.currentThread().interrupt();
      }
      Runtime.getRuntime().halt(0); // an orderly end, not 143
    }));
    server.awaitTermination();
  }
}
