package example.table;

import com.google.protobuf.ByteString;
import gateway.v1.EventingOuterClass.Event;
import gateway.v1.EventingOuterClass.EventSource;
import gateway.v1.EventingOuterClass.Events;
import gateway.v1.EventingOuterClass.Notice;
import gateway.v1.EventingOuterClass.Started;
import gateway.v1.EventingOuterClass.StreamRequest;
import gateway.v1.EventingOuterClass.StreamResponse;
import io.grpc.Status;
import io.grpc.stub.ServerCallStreamObserver;
import io.grpc.stub.StreamObserver;
import java.nio.charset.StandardCharsets;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.util.List;
import java.util.Map;

/**
 * One event source: polls its query from the last key on. The key of a row is its identity and its position, so a row is told
 * once, whatever was down meanwhile.
 */
final class TableStream implements StreamObserver<StreamRequest> {
  private static final int WINDOW = 512; // events that may wait for their acknowledgement
  private static final int BATCH_MAX = 100;

  private final ServerCallStreamObserver<StreamResponse> client;
  private final Map<List<String>, TableStream> streams; // by identity: a newer one replaces the older one
  private List<String> identity = List.of();
  private volatile Thread poller;
  private volatile long sequence;
  private long acknowledged;
  private boolean ended;

  TableStream(StreamObserver<StreamResponse> client, Map<List<String>, TableStream> streams) {
    this.streams = streams;
    this.client = (ServerCallStreamObserver<StreamResponse>) client;
    this.client.setOnCancelHandler(this::stop);
    this.client.setOnReadyHandler(this::wake);
  }

  // ---- what the client says ----

  @Override
  public void onNext(StreamRequest request) {
    if (request.hasStart() == (poller != null)) {
      refuse("the first request must be start, and only the first");
    } else if (request.hasStart()) {
      start(request.getStart());
    } else if (request.hasAcknowledged() && request.getAcknowledged().getSequence() > sequence) {
      refuse("an event is acknowledged that was not sent");
    } else if (request.hasAcknowledged()) {
      synchronized (this) {
        acknowledged = Math.max(acknowledged, request.getAcknowledged().getSequence());
        notifyAll();
      }
    } // anything else a newer client may mean
  }

  @Override
  public void onCompleted() { // withdrawn
    stop();
    synchronized (this) {
      if (!ended && !client.isCancelled()) {
        client.onCompleted();
      }
      ended = true;
    }
  }

  @Override
  public void onError(Throwable fault) {
    stop();
  }

  // ---- the table ----

  private void start(EventSource source) {
    try {
      Config config = Config.parse(source.getConfig().toByteArray());
      String last = source.getPosition().isEmpty() ? "0" : source.getPosition().toStringUtf8();
      Long.parseLong(last);
      identity = List.of(source.getGateway(), source.getNamespace(), source.getName());
      TableStream older = streams.put(identity, this);
      if (older != null) {
        older.fail(Status.ABORTED.withDescription("replaced by a newer stream of the same event source"));
      }
      poller = new Thread(() -> poll(config, last), "poller of " + source.getName());
      poller.start();
    } catch (Config.Invalid fault) {
      refuse(fault.getMessage());
    } catch (NumberFormatException fault) {
      refuse("the position is not one of ours: expected a whole number");
    }
  }

  private void poll(Config config, String from) {
    String last = from;
    boolean started = false;
    boolean warned = false;
    try {
      while (true) {
        try (Connection connection = connect(config); PreparedStatement query = connection.prepareStatement(config.query())) {
          query.setMaxRows(BATCH_MAX);
          while (true) {
            query.setObject(1, Long.parseLong(last));
            Events.Builder batch = Events.newBuilder();
            try (ResultSet rows = query.executeQuery()) {
              while (rows.next()) {
                last = rows.getString(1);
                batch.addEvents(event(last, rows.getString(2)));
              }
            }
            if (!started) {
              say(StreamResponse.newBuilder().setStarted(Started.getDefaultInstance()));
            }
            if (warned) {
              say(notice(Notice.Severity.INFO, "connected to " + config.url()));
            }
            started = true;
            warned = false;
            if (batch.getEventsCount() > 0) {
              say(StreamResponse.newBuilder().setEvents(batch));
              awaitWindow();
            }
            if (batch.getEventsCount() < BATCH_MAX) {
              Thread.sleep(config.every().toMillis());
            }
          }
        } catch (SQLException fault) {
          warned = true;
          say(notice(Notice.Severity.WARNING, config.url() + ": " + fault.getMessage() + "; next attempt in " + config.every().toMillis() + " ms"));
          Thread.sleep(config.every().toMillis());
        }
      }
    } catch (InterruptedException ended) {
      Thread.currentThread().interrupt();
    } catch (RuntimeException fault) {
      fail(Status.UNAVAILABLE.withDescription(fault.toString()));
    }
  }

  private static Connection connect(Config config) throws SQLException {
    return DriverManager.getConnection(config.url(), System.getenv("TABLE_USER"), System.getenv("TABLE_PASSWORD"));
  }

  private Event event(String key, String payload) {
    return Event.newBuilder()
        .setSequence(++sequence)
        .setId(key)
        .setType("example.table.row")
        .setData(payload == null ? ByteString.EMPTY : ByteString.copyFrom(payload, StandardCharsets.UTF_8))
        .setPosition(ByteString.copyFromUtf8(key))
        .build();
  }

  private static StreamResponse.Builder notice(Notice.Severity severity, String words) {
    return StreamResponse.newBuilder().setNotice(Notice.newBuilder().setSeverity(severity).setMessage(words));
  }

  // ---- to the client ----

  private synchronized void say(StreamResponse.Builder response) throws InterruptedException {
    while (!client.isReady() && !client.isCancelled()) { // it does not read: neither do we
      wait(1000);
    }
    if (ended || client.isCancelled()) {
      throw new InterruptedException();
    }
    client.onNext(response.build());
  }

  private synchronized void awaitWindow() throws InterruptedException {
    while (sequence - acknowledged >= WINDOW) {
      wait();
    }
  }

  private synchronized void wake() {
    notifyAll();
  }

  private void refuse(String words) {
    fail(Status.INVALID_ARGUMENT.withDescription(words));
  }

  private synchronized void fail(Status status) {
    if (!ended && !client.isCancelled()) {
      client.onError(status.asRuntimeException());
    }
    ended = true;
    stop();
  }

  private void stop() {
    streams.remove(identity, this);
    if (poller != null) {
      poller.interrupt();
    }
  }
}
